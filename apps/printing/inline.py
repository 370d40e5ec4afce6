"""Text within a paragraph, in ReportLab's own markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from apps.printing.drawings import stroke_of
from apps.printing.fonts import MONO, in_fonts
from apps.printing.sheet import ACCENT, SMALL, SOFT, tone_of
from apps.printing.tree import Element, printed

_SPACE = re.compile(r"[ \t\r\n\f]+")
_BOLD = frozenset(("strong", "b", "th", "summary", "dt"))
LESS = 0.9
"""By what factor `small` is smaller than the text around it."""


class Inline:
    """Writes markup. `anchors` are the ids that the document will have: a link to another one leads nowhere."""

    def __init__(self, anchors: frozenset[str]) -> None:
        self.anchors = anchors

    def markup(self, children: Iterable[Element | str], size: float = SMALL) -> str:
        """The markup of a run of texts and inline elements, in type of `size` points; empty if nothing is printed."""
        return _SPACE.sub(" ", "".join(self._one(child, size) for child in children)).strip()

    def _one(self, child: Element | str, size: float) -> str:
        if isinstance(child, str):
            return in_fonts(child)
        if child.tag == "br":
            return "<br/>"
        if child.tag == "svg":
            return _key(child)
        if not printed(child):
            return ""
        return self._dressed(child, size)

    def _dressed(self, element: Element, size: float) -> str:
        """An element's text, in the type that its tag and its classes ask for."""
        classes = element.classes
        size = size * LESS if "small" in classes else size
        lines = "title" in classes
        parts = [self._one(child, size) for child in element.children if _counts(child, lines)]
        text = ("<br/>" if lines else "").join(parts)
        font = {}
        if "mono" in classes or element.tag == "code":
            font["name"] = MONO
        if "small" in classes:
            font["size"] = f"{size:.2f}"
        if "soft" in classes:
            font["color"] = SOFT
        if "badge" in classes:
            tone = tone_of(classes, "badge")
            font |= {"color": tone.ink, "backColor": tone.ground}
            text = f"\N{NO-BREAK SPACE}{text}\N{NO-BREAK SPACE}"
        if font:
            text = f"<font {' '.join(f'{name}={quoteattr(value)}' for name, value in font.items())}>{text}</font>"
        if element.tag in _BOLD or "badge" in classes:
            text = f"<b>{text}</b>"
        if "badge" in classes:
            text += " "
        return self._linked(element, text) if element.tag == "a" else text

    def _linked(self, element: Element, text: str) -> str:
        """A link to another site, or to a place in the document; one to a place that is not printed is left out."""
        target = element.attributes.get("href", "")
        if target.startswith("#"):
            return f'<a href="{escape(target)}" color="{ACCENT}">{text}</a>' if target[1:] in self.anchors else ""
        if target.startswith(("https://", "http://")):
            return f'<a href={quoteattr(target)} color="{ACCENT}">{text}</a>'
        return text


def _counts(child: Element | str, lines: bool) -> bool:
    """Whether it is a line of its own, where every element is one."""
    return not lines or isinstance(child, Element)


def _key(picture: Element) -> str:
    """The sign of a line or an area in a legend."""
    mark = picture.first("path") or picture.first("rect")
    if mark is None:
        raise ValueError("A picture within a text is a legend's key: a path or a rect")
    look = stroke_of(mark.classes)
    sign = "■" if mark.tag == "rect" else "– –" if look.dash else "––"
    return f'<font color="{look.color}"><b>{sign}</b></font>'
