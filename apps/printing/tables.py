"""Tables: cells, the widths of columns, and how rows go over pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import LongTable, Paragraph

from apps.printing.drawings import Picture
from apps.printing.fonts import SANS
from apps.printing.inline import Inline
from apps.printing.sheet import ACCENT_SOFT, LINE, LINE_STRONG, SOFT, TABLE, cell_style, color
from apps.printing.tree import Element, printed

BAR_HEIGHT, BAR_WIDTH, BAR_LEAST = 9.0, 150.0, 40.0
"""Of a picture in a cell, in points: its height, and the width that it asks for and needs."""
PADDING = 3.0
WIDEST = 1.5
"""By what factor a table may be wider than it asks."""
MOST_WIDTH, MOST_WORD = 200.0, 80.0
"""What a cell asks for at most, in points, and a word in it."""
NESTED = frozenset(("dl", "table", "ul", "ol", "figure", "details", "p", "div"))
Flows = Callable[[Element, float], list[Any]]
"""Turns an element into flowables of a width."""


@dataclass(frozen=True)
class Cell:
    element: Element
    row: int
    column: int
    across: int
    down: int

    @property
    def right(self) -> bool:
        return "num" in self.element.classes

    @property
    def picture(self) -> Element | None:
        return next((child for child in self.element.elements if child.tag == "svg"), None)

    @property
    def nested(self) -> bool:
        return any(child.tag in NESTED for child in self.element.descendants())


class TableOf:
    """A `table` as a flowable of a given width."""

    def __init__(self, table: Element, inline: Inline, flows: Flows) -> None:
        self.inline, self.flows = inline, flows
        self.bars = bool(table.classes & {"bars", "channels"})
        heads = [row for part in table.elements if part.tag == "thead" and printed(part) for row in part.elements]
        bodies = [row for part in table.elements if part.tag == "tbody" for row in part.elements]
        self.rows, self.heads = [*heads, *bodies], len(heads)
        self.cells = _placed(self.rows)
        self.columns = max((cell.column + cell.across for cell in self.cells), default=0)

    def flowable(self, width: float) -> LongTable | None:
        """`None` if it has no cell."""
        if not self.cells:
            return None
        widths = self._widths(width)
        content: list[list[Any]] = [[""] * self.columns for _ in self.rows]
        for cell in self.cells:
            own = sum(widths[cell.column : cell.column + cell.across]) - 2 * PADDING
            content[cell.row][cell.column] = self._content(cell, own)
        made = LongTable(content, colWidths=widths, repeatRows=self.heads, splitInRow=1, hAlign="LEFT")
        made.setStyle(self._style())
        return made

    def _content(self, cell: Cell, width: float) -> Any:
        if cell.picture is not None:
            return Picture(cell.picture, BAR_HEIGHT)
        if cell.nested:
            return self.flows(cell.element, width)
        text = self.inline.markup(cell.element.children, TABLE)
        if not text:
            return ""
        head = cell.row < self.heads
        faded = head or "out" in self.rows[cell.row].classes
        names = cell.element.tag == "th" and "mono" not in cell.element.classes and not self.bars
        text = f"<b>{text}</b>" if head or names else text
        return Paragraph(text, cell_style(right=cell.right, ink=SOFT) if faded else cell_style(right=cell.right))

    def _style(self) -> list[tuple[Any, ...]]:
        rules: list[tuple[Any, ...]] = [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), PADDING),
            ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
            ("TOPPADDING", (0, 0), (-1, -1), 0.5 if self.bars else 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 0.5 if self.bars else 2.5),
        ]
        if not self.bars:
            rules.append(("LINEBELOW", (0, self.heads), (-1, -1), 0.3, color(LINE)))
        if self.heads:
            rules.append(("LINEBELOW", (0, self.heads - 1), (-1, self.heads - 1), 0.6, color(LINE_STRONG)))
        for cell in self.cells:
            if cell.across > 1 or cell.down > 1:
                last = cell.column + cell.across - 1, cell.row + cell.down - 1
                rules.append(("SPAN", (cell.column, cell.row), last))
        chosen = [number for number, row in enumerate(self.rows) if "chosen" in row.classes]
        rules += [("BACKGROUND", (0, number), (-1, number), color(ACCENT_SOFT)) for number in chosen]
        return rules

    def _widths(self, width: float) -> list[float]:
        """The columns' widths, at most `width` in all: what each asks for, as far as there is room beyond its needs. A
        table that asks for little is no wider than it can be read across."""
        asked, needed = [2 * PADDING] * self.columns, [2 * PADDING] * self.columns
        for cell in self.cells:
            if cell.across == 1:
                asks, needs = self._wishes(cell)
                asked[cell.column] = max(asked[cell.column], asks + 2 * PADDING)
                needed[cell.column] = max(needed[cell.column], needs + 2 * PADDING)
        least, most = sum(needed), sum(asked)
        if least >= width:
            return [one * width / least for one in needed]
        if most <= width:
            return [one * min(width / most, WIDEST) for one in asked]
        share = (width - least) / (most - least)
        return [need + (ask - need) * share for ask, need in zip(asked, needed, strict=True)]

    def _wishes(self, cell: Cell) -> tuple[float, float]:
        """The widths of its longest line and of its longest word, in points. Numbers are kept in one line."""
        if cell.picture is not None:
            return BAR_WIDTH, BAR_LEAST
        if cell.nested:
            return MOST_WIDTH, MOST_WORD
        lines = _lines(cell.element)
        longest = max((_width(line) for line in lines), default=0.0)
        if cell.right and "wraps" not in cell.element.classes and cell.row >= self.heads:
            return min(longest, MOST_WIDTH), min(longest, MOST_WORD)
        word = max((_width(word) for line in lines for word in line.split()), default=0.0)
        return min(longest, MOST_WIDTH), min(word, MOST_WORD)


def _lines(element: Element) -> list[str]:
    if any("title" in one.classes for one in element.elements):
        return [part.text for one in element.elements for part in one.elements]
    return [" ".join(line.split()) for line in element.text.split("\n")]


def _width(text: str) -> float:
    return float(stringWidth(text, SANS, TABLE)) * 1.04 + 0.5


def _placed(rows: list[Element]) -> list[Cell]:
    """The cells with their places, as a browser places them around cells of several rows."""
    taken: set[tuple[int, int]] = set()
    cells = []
    for number, row in enumerate(rows):
        column = 0
        for element in row.elements:
            while (number, column) in taken:
                column += 1
            across, down = (int(element.attributes.get(name, "1")) for name in ("colspan", "rowspan"))
            cells.append(Cell(element, number, column, across, down))
            taken |= {(number + y, column + x) for y in range(down) for x in range(across)}
            column += across
    return cells
