"""The document: pages with their footer, the outline, and what readers and search engines are told of it.

Equal HTML makes equal bytes: the date of the document is the one that the HTML names, and ids follow from the contents.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Spacer

from apps.printing.blocks import Blocks, Outlined
from apps.printing.fonts import SANS, registered, spelled_out
from apps.printing.inline import Inline
from apps.printing.sheet import HEIGHT, LINE, MARGIN_BOTTOM, MARGIN_X, PAGE, SOFT, TABLE, WIDTH, color
from apps.printing.tree import Element, parse

TOTAL = "total"
"""The form that shows the number of pages; every page refers to it, and it is drawn last."""


@dataclass(frozen=True)
class Facts:
    """What the HTML says of itself in its head."""

    language: str
    title: str
    subject: str
    footer: str
    numbered: str
    """How a page is numbered, with `{page}` and `{pages}`."""
    made: datetime

    @classmethod
    def of(cls, page: Element) -> Facts:
        """Raises `ValueError` if one of them is missing."""
        root, title = page.first("html"), page.first("title")
        said = {one.attributes["name"]: one.attributes["content"] for one in page.descendants() if _is_fact(one)}
        if root is None or title is None:
            raise ValueError("A page that is printed has <html lang> and <title>")
        try:
            made = datetime.fromisoformat(said["date"]).astimezone(UTC)
            return cls(root.attributes["lang"], title.text, said["subject"], said["footer"], said["numbered"], made)
        except KeyError as missing:
            raise ValueError(f"The head of a page that is printed says no {missing}") from missing


def _is_fact(element: Element) -> bool:
    return element.tag == "meta" and {"name", "content"} <= element.attributes.keys()


class _Canvas(Canvas):
    """A canvas that knows the number of its pages in the end."""

    def save(self) -> None:
        pages = self.getPageNumber() - 1
        self.beginForm(TOTAL)
        self.setFont(SANS, TABLE)
        self.setFillColor(color(SOFT))
        self.drawString(0, 0, str(pages))
        self.endForm()
        super().save()


class _Document(BaseDocTemplate):
    """ReportLab takes the date from the environment, as makers of reproducible files do: it is the one of the HTML."""

    def __init__(self, file: BytesIO, facts: Facts) -> None:
        os.environ["SOURCE_DATE_EPOCH"] = str(int(facts.made.timestamp()))
        super().__init__(
            file,
            pagesize=PAGE,
            title=facts.title,
            author="Lathe",
            subject=facts.subject,
            lang=facts.language,
            invariant=1,
        )
        self.facts, self.level = facts, -1
        frame = Frame(MARGIN_X, MARGIN_BOTTOM, WIDTH, HEIGHT, 0, 0, 0, 0)
        self.addPageTemplates(PageTemplate(frames=[frame], onPage=self._page))

    def _page(self, canvas: Any, _: BaseDocTemplate) -> None:
        """The footer: what this is a page of, and which."""
        if canvas.getPageNumber() == 1:
            self._first(canvas)
        before, _, after = self.facts.numbered.partition("{pages}")
        before = before.format(page=canvas.getPageNumber())
        room = stringWidth("00", SANS, TABLE)
        width, low = stringWidth(before, SANS, TABLE), MARGIN_BOTTOM - 22
        right = PAGE[0] - MARGIN_X - room - stringWidth(after, SANS, TABLE)
        canvas.saveState()
        canvas.setStrokeColor(color(LINE))
        canvas.line(MARGIN_X, low + 12, PAGE[0] - MARGIN_X, low + 12)
        canvas.setFont(SANS, TABLE)
        canvas.setFillColor(color(SOFT))
        canvas.drawString(MARGIN_X, low, _shortened(spelled_out(self.facts.footer), right - width - MARGIN_X - 12))
        canvas.drawString(right - width, low, before)
        canvas.translate(right, low)
        canvas.doForm(TOTAL)
        canvas.drawString(room, 0, after)
        canvas.restoreState()

    def _first(self, canvas: Any) -> None:
        canvas.setViewerPreference("DisplayDocTitle", "true")
        canvas.showOutline()
        canvas._doc.info.producer = canvas._doc.info.creator = "Lathe"

    def afterFlowable(self, flowable: Any) -> None:  # noqa: N802  ReportLab's name
        """A heading becomes a line of the outline, never more than one level below the line before it."""
        if isinstance(flowable, Outlined) and flowable.entry:
            self.level = min(flowable.level, self.level + 1)
            key = f"heading-{id(flowable)}"
            self.canv.bookmarkPage(key, fit="XYZ", top=self.frame._y + flowable.height)
            self.canv.addOutlineEntry(flowable.entry, key, self.level, closed=self.level > 0)


def _shortened(text: str, width: float) -> str:
    """As much of a text as fits."""
    while stringWidth(text, SANS, TABLE) > width:
        text = text[:-2] + "…" if text.endswith("…") else text[:-1] + "…"
    return text


def pdf_of(html: str) -> bytes:
    """The HTML as a PDF. Raises `ValueError` for what cannot be printed."""
    page = parse(html)
    facts, body = Facts.of(page), page.first("body")
    if body is None:
        raise ValueError("A page that is printed has a <body>")
    registered()
    anchors = frozenset(
        one.attributes["id"] for one in body.descendants() if one.tag == "div" and "id" in one.attributes
    )
    file = BytesIO()
    # ReportLab never ends if nothing follows a heading that is longer than a page.
    story = [*Blocks(Inline(anchors)).flow(body, WIDTH), Spacer(0, 0)]
    _Document(file, facts).build(story, canvasmaker=_Canvas)
    return file.getvalue()
