"""Sections, headings, paragraphs, lists and figures as flowables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reportlab.platypus import AnchorFlowable, HRFlowable, Paragraph, Spacer, Table

from apps.printing.drawings import HEIGHT_PX, HEIGHTS_PX, plot
from apps.printing.inline import Inline
from apps.printing.sheet import (
    BODY,
    GAP,
    LINE,
    SMALL,
    SOFT,
    TABLE,
    caption_style,
    color,
    heading_style,
    list_style,
    notice_style,
    style,
    tone_of,
)
from apps.printing.tables import PADDING, TableOf
from apps.printing.tree import Element, printed

BLOCKS = frozenset(
    (
        *("section", "header", "main", "article", "div", "p", "table", "ul", "ol", "dl", "figure", "figcaption"),
        *("details", "summary", "h1", "h2", "h3", "html", "body"),
    )
)
TERM_WIDTH = 0.24
"""What of the width the terms of a list of definitions take."""


class Outlined(Paragraph):
    """A heading: `entry` is its line in the document's outline, at `level`, 0 being the outermost."""

    entry, level = "", 0

    def split(self, available_width: float, available_height: float) -> list[Any]:
        """The parts of one that goes over pages, of which the first stands in the outline."""
        parts = list(super().split(available_width, available_height))
        for part in parts[:1]:
            part.entry, part.level = self.entry, self.level
        return parts


class Blocks:
    """Turns elements into flowables. `depth` counts the lists around what is being turned."""

    def __init__(self, inline: Inline) -> None:
        self.inline = inline
        self.depth = 0

    def flow(self, element: Element, width: float) -> list[Any]:
        """What is within an element: blocks, and runs of text between them as paragraphs."""
        made: list[Any] = []
        for child in _runs(element.children):
            if isinstance(child, Element):
                made += self.block(child, width)
            else:
                made += self._paragraph(child, _looks_of(element))
        return made

    def block(self, element: Element, width: float) -> list[Any]:
        """One block; nothing if it is not for paper."""
        if not printed(element):
            return []
        turned = getattr(self, f"_{element.tag}", None)
        return turned(element, width) if turned else self.flow(element, width)

    def _paragraph(self, children: Iterable[Element | str], looks: Any, bullet: str | None = None) -> list[Any]:
        text = self.inline.markup(children, looks.fontSize)
        return [Paragraph(text, looks, bulletText=bullet)] if text else []

    def _section(self, element: Element, width: float) -> list[Any]:
        made = self.flow(element, width)
        if made and "card" in element.classes and element.attributes.get("id") != "report-verdict":
            made.insert(0, HRFlowable("100%", 0.5, color=color(LINE), spaceBefore=9, spaceAfter=5))
        return _together(made[:2]) + made[2:]

    def _h1(self, element: Element, width: float) -> list[Any]:
        markup = self.inline.markup(element.children, heading_style(element.tag).fontSize)
        made = Outlined(f"<b>{markup}</b>", heading_style(element.tag))
        made.entry, made.level = " ".join(element.text.split()), int(element.tag[1]) - 1
        return [made]

    _h2 = _h3 = _h1

    def _header(self, element: Element, width: float) -> list[Any]:
        """A heading, and what stands beside it below."""
        made = []
        for child in element.elements:
            made += (
                self.block(child, width) if child.tag in BLOCKS else self._paragraph([child], caption_style(above=True))
            )
        return made

    def _p(self, element: Element, width: float) -> list[Any]:
        if "notice" in element.classes:
            return self._paragraph(element.children, notice_style(tone_of(element.classes, "notice")))
        return self._paragraph(element.children, _looks_of(element))

    def _summary(self, element: Element, width: float) -> list[Any]:
        inner = Element("strong", children=element.children)
        return _together([*self._paragraph([inner], style(BODY)), Spacer(0, 0)])

    def _ul(self, element: Element, width: float) -> list[Any]:
        """Items with signs that hang; what is within an item goes below it."""
        made: list[Any] = []
        self.depth += 1
        for number, item in enumerate(element.elements, start=1):
            sign: str | None = f"{number}." if element.tag == "ol" else "•"
            for child in _runs(item.children):
                if isinstance(child, Element):
                    made += self.block(child, width)
                else:
                    made += self._paragraph(child, list_style(self.depth), sign)
                    sign = None
        self.depth -= 1
        return [*made, Spacer(0, GAP / 2)] if made else []

    _ol = _ul

    def _dl(self, element: Element, width: float) -> list[Any]:
        """Terms beside what they are. A definition with a table or a picture goes below its term, over the width."""
        made: list[Any] = []
        rows: list[list[Any]] = []
        term: list[Any] = []
        small = style(SMALL)
        for child in element.elements:
            if child.tag == "dt":
                term = self._paragraph(child.children, style(SMALL, SOFT))
                continue
            blocks = [one for one in child.elements if one.tag in BLOCKS]
            if blocks:
                made += [*_two_columns(rows, width), *term, *self.flow(child, width)]
                rows = []
            else:
                rows.append([term, self._paragraph(child.children, small)])
        return [*made, *_two_columns(rows, width), Spacer(0, GAP / 2)]

    def _table(self, element: Element, width: float) -> list[Any]:
        caption = next((one for one in element.elements if one.tag == "caption" and printed(one)), None)
        above = self._paragraph(caption.children, caption_style(above=True)) if caption else []
        made = TableOf(element, self.inline, self.flow).flowable(width)
        return [*above, made, Spacer(0, GAP)] if made else []

    def _figure(self, element: Element, width: float) -> list[Any]:
        kind = next((HEIGHTS_PX[name] for name in HEIGHTS_PX if name in element.classes), HEIGHT_PX)
        made: list[Any] = []
        for child in element.elements:
            if "curves-picture" in child.classes:
                made += [Spacer(0, GAP), plot(child, kind)]
            elif child.tag == "figcaption":
                parts: list[Element | str] = []
                for part in child.elements:
                    parts += [part, "   "]
                made += self._paragraph(parts[:-1] or child.children, caption_style(above=False))
            else:
                made += self.block(child, width)
        return [*_together(made), Spacer(0, GAP)]

    def _div(self, element: Element, width: float) -> list[Any]:
        tiles = [one for one in element.elements if "figure" in one.classes]
        made = self._tiles(tiles, width) if tiles else self.flow(element, width)
        anchor = element.attributes.get("id")
        return [AnchorFlowable(anchor), *made] if anchor in self.inline.anchors else made

    def _tiles(self, tiles: list[Element], width: float) -> list[Any]:
        """The main numbers, side by side."""
        cells = []
        for tile in tiles:
            lines: list[Any] = []
            for line in tile.elements:
                main = "value" in line.classes
                text = Element("strong" if main else "span", children=line.children)
                lines += self._paragraph([text], style(15.0) if main else style(TABLE, SOFT))
            cells.append(lines)
        made = Table([cells], colWidths=[width / len(cells)] * len(cells))
        made.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, 0), 0)])
        return [made]


def _together(flowables: list[Any]) -> list[Any]:
    """The same, of which none but the last may end a page."""
    for one in flowables[:-1]:
        one.keepWithNext = 1
    return flowables


def _looks_of(element: Element) -> Any:
    return style(SMALL if "small" in element.classes else BODY, **({"ink": SOFT} if "soft" in element.classes else {}))


def _runs(children: Iterable[Element | str]) -> Iterable[Element | list[Element | str]]:
    """The blocks, and between them the runs of everything else."""
    run: list[Element | str] = []
    for child in children:
        if isinstance(child, Element) and child.tag in BLOCKS:
            if run:
                yield run
            run = []
            yield child
        else:
            run.append(child)
    if run:
        yield run


def _two_columns(rows: list[list[Any]], width: float) -> list[Any]:
    if not rows:
        return []
    made = Table(rows, colWidths=[width * TERM_WIDTH, width * (1 - TERM_WIDTH)], splitInRow=1)
    made.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            *((f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "TOP", "BOTTOM")),
            ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
        ]
    )
    return [made]
