"""HTML as a tree of elements and texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser

VOID = frozenset(("br", "hr", "img", "input", "link", "meta", "wbr"))
"""Elements without an end."""
NOT_PRINTED = frozenset(("script", "style", "head", "form", "button", "input", "desc", "title"))
SCREEN_ONLY = frozenset(("screen-only", "actions", "skip"))


@dataclass
class Element:
    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @cached_property
    def classes(self) -> frozenset[str]:
        return frozenset(self.attributes.get("class", "").split())

    @property
    def elements(self) -> list[Element]:
        return [child for child in self.children if isinstance(child, Element)]

    def descendants(self) -> Iterator[Element]:
        """All elements within, in the order of the document."""
        for child in self.elements:
            yield child
            yield from child.descendants()

    def first(self, tag: str) -> Element | None:
        return next((one for one in self.descendants() if one.tag == tag), None)

    @property
    def text(self) -> str:
        """What it says, with one space for all white space; `br` ends a line."""
        return " ".join("".join(self._pieces()).split(" ")).strip()

    def _pieces(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield "\n" if child.tag == "br" else "".join(child._pieces())


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if self.open[-1].tag != tag:
            raise ValueError(f"</{tag}> where <{self.open[-1].tag}> is open, in line {self.getpos()[0]}")
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Element:
    """The tree of a whole page. Raises `ValueError` if an element is not closed, or another one is."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    if builder.open != [builder.root]:
        raise ValueError(f"<{builder.open[-1].tag}> is never closed")
    return builder.root


def printed(element: Element) -> bool:
    """Whether an element is for paper, and not only for a screen or for who hears the page."""
    heading = element.tag in ("h1", "h2", "h3")
    hidden = "visually-hidden" in element.classes and not heading
    return element.tag not in NOT_PRINTED and not hidden and not element.classes & SCREEN_ONLY
