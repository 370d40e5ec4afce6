"""What the printed page looks like: its size, fonts, colours and styles of paragraphs. Lengths are points."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm

from apps.printing.fonts import SANS

PAGE = A4
MARGIN_X, MARGIN_TOP, MARGIN_BOTTOM = 18 * mm, 17 * mm, 20 * mm
WIDTH = PAGE[0] - 2 * MARGIN_X
HEIGHT = PAGE[1] - MARGIN_TOP - MARGIN_BOTTOM
BODY, SMALL, TABLE = 9.0, 8.0, 7.5
"""Sizes of type."""
PIXEL = 0.6
"""What a pixel of the screen measures in a picture."""
GAP = 5.0


class Tone(NamedTuple):
    ink: str
    ground: str


INK, SOFT, LINE, LINE_STRONG, ACCENT = "#1f2328", "#5a5f66", "#dedbd4", "#8a8780", "#a3470f"
SUNKEN, ACCENT_SOFT = "#efede8", "#f7e7dc"
TONES = {
    "ok": Tone("#1b6e3c", "#dff2e5"),
    "warn": Tone("#7d5700", "#fbf0d0"),
    "bad": Tone("#a81e2b", "#fbe3e4"),
    "info": Tone("#1c5c9c", "#e0edf9"),
    "busy": Tone("#6b3fa0", "#efe6f9"),
    "void": Tone("#12696b", "#dcf0f0"),
    "accent": Tone(ACCENT, ACCENT_SOFT),
}
"""The light colours of `static/lathe.css`, which a test compares."""
PLAIN = Tone(SOFT, SUNKEN)
HEADINGS = {"h1": (17.0, 0.0), "h2": (12.5, 4.0), "h3": (9.5, 4.0)}
"""Each heading's size, and the space before it."""


def tone_of(classes: frozenset[str], kind: str) -> Tone:
    """The tone that a class such as `badge-ok` names, for the `kind` “badge”."""
    names = (one.removeprefix(f"{kind}-") for one in classes if one.startswith(f"{kind}-"))
    return next((TONES[name] for name in names if name in TONES), PLAIN)


@cache
def color(code: str) -> Color:
    return HexColor(code)


@cache
def style(size: float = BODY, ink: str = INK, *, right: bool = False, indent: float = 0.0) -> ParagraphStyle:
    """A paragraph's."""
    made = ParagraphStyle(f"text-{size}-{ink}-{right}-{indent}", fontName=SANS, fontSize=size, leading=size * 1.35)
    made.textColor, made.leftIndent, made.spaceAfter = color(ink), indent, size * 0.35
    made.splitLongWords = 1
    if right:
        made.alignment = TA_RIGHT
    return made


@cache
def cell_style(*, right: bool, ink: str = INK) -> ParagraphStyle:
    return ParagraphStyle(f"cell-{right}-{ink}", style(TABLE, ink, right=right), spaceAfter=0, leading=TABLE * 1.28)


@cache
def list_style(depth: int) -> ParagraphStyle:
    """An item's, whose sign hangs left of it."""
    base = style(SMALL, indent=10.0 * depth)
    return ParagraphStyle(
        f"item-{depth}", base, bulletIndent=10.0 * (depth - 1), bulletFontName=SANS, bulletFontSize=SMALL
    )


@cache
def heading_style(tag: str) -> ParagraphStyle:
    size, before = HEADINGS[tag]
    base = ParagraphStyle(f"heading-{tag}", style(size), spaceBefore=before, spaceAfter=3, leading=size * 1.2)
    base.keepWithNext = 1
    return base


@cache
def caption_style(*, above: bool) -> ParagraphStyle:
    """Of a table if `above`, else of a picture."""
    return ParagraphStyle(f"caption-{above}", style(TABLE, SOFT), keepWithNext=int(above), spaceAfter=2)


@cache
def notice_style(tone: Tone) -> ParagraphStyle:
    made = ParagraphStyle(f"notice-{tone.ink}", style(BODY), borderPadding=(4, 6, 5, 6), leftIndent=7, rightIndent=7)
    made.backColor, made.spaceBefore, made.spaceAfter = color(tone.ground), 6, 9
    return made
