"""The fonts of printed pages, which are embedded, so that a page looks the same everywhere.

FiraGO has Latin, Greek and Cyrillic letters and the signs of arithmetic; what it lacks is taken from Cascadia Mono. A
character that neither has is spelled out as its code point, so that nothing is lost.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib import import_module
from io import BytesIO
from itertools import groupby
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

SANS, MONO = "sans", "mono"
FAMILIES = {SANS: "FiraGO", MONO: "CascadiaMono"}
SAME = {ord("\N{NARROW NO-BREAK SPACE}"): "\N{NO-BREAK SPACE}", ord("\N{SOFT HYPHEN}"): None}
"""Characters that are printed as another one."""


@cache
def registered() -> dict[str, frozenset[int]]:
    """Makes the fonts known to ReportLab, once. The answer is which characters each family has."""
    for name, family in FAMILIES.items():
        for style in ("Regular", "Bold"):
            data = import_module(f"pymupdf_fonts.{family}_{style}").fontbuffer
            pdfmetrics.registerFont(TTFont(_font(name, style), BytesIO(data)))
        bold = _font(name, "Bold")
        pdfmetrics.registerFontFamily(name, normal=name, bold=bold, italic=name, boldItalic=bold)
    return {name: frozenset(pdfmetrics.getFont(name).face.charToGlyph) for name in FAMILIES}


def _font(name: str, style: str) -> str:
    return name if style == "Regular" else f"{name}-{style.lower()}"


def _font_of(character: str) -> str | None:
    """The family to print a character in; `None` if none has it."""
    if character.isspace():
        return SANS
    return next((name for name, known in registered().items() if ord(character) in known), None)


def spelled_out(text: str) -> str:
    """A text as the main font can print it."""
    text = text.translate(SAME)
    return "".join(one if _font_of(one) == SANS else _named(one) for one in text)


def _named(character: str) -> str:
    """The code point of a character that cannot be printed; marks that have no width of their own are left out."""
    return "" if unicodedata.category(character) in ("Cc", "Cf", "Mn") else f"U+{ord(character):04X}"


def in_fonts(text: str) -> str:
    """The markup of a text in which each run of characters is set in a font that has them."""
    text = text.translate(SAME)
    if all(ord(one) in registered()[SANS] or one.isspace() for one in text):
        return escape(text)
    parts = []
    for font, run in groupby(text, _font_of):
        characters = "".join(run)
        if font is None:
            parts.append("".join(map(_named, characters)))
        else:
            parts.append(escape(characters) if font == SANS else f'<font name="{font}">{escape(characters)}</font>')
    return "".join(parts)
