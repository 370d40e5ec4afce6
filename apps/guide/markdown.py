"""Markdown as the documentation uses it: HTML for a page, and the text of each of its sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROW = 6
"""The level of a row of a table as a section."""
PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True)
class Section:
    """What stands below one heading, or one row of a table that begins with a code of its own."""

    anchor: str
    title: str
    level: int
    text: str


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it: lower case, hyphens for blanks, no punctuation."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def plain(inline: Token) -> str:
    """The words of a line of Markdown without its markup."""
    parts = (" " if child.type in ("softbreak", "hardbreak") else child.content for child in inline.children or ())
    return "".join(parts)


def parsed(source: str, address: Callable[[str], str | None]) -> list[Token]:
    """The tokens of `source`, with anchors for headings and for rows that begin with a code.

    `address` gives a link's target within the portal; a link without one becomes plain text.
    """
    tokens = PARSER.parse(source)
    taken: set[str] = set()
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            _anchor(token, slug(plain(tokens[index + 1])), taken)
        elif token.type == "tr_open" and (code := _leading_code(tokens[index + 1 : index + 3])):
            _anchor(token, code, taken)
        elif token.type == "inline":
            token.children = list(_linked(token.children or [], address))
    return tokens


def _anchor(token: Token, name: str, taken: set[str]) -> None:
    if name not in taken:
        taken.add(name)
        token.attrSet("id", name)


def _leading_code(cell: Sequence[Token]) -> str:
    """What a row's first cell holds, if that is nothing but code."""
    if len(cell) < 2 or cell[0].type != "td_open":
        return ""
    children = cell[1].children or []
    return children[0].content if len(children) == 1 and children[0].type == "code_inline" else ""


def _linked(children: list[Token], address: Callable[[str], str | None]) -> Iterator[Token]:
    dropped = 0
    for child in children:
        if child.type == "link_open":
            target = address(str(child.attrs["href"]))
            dropped += target is None
            if target is None:
                continue
            child.attrSet("href", target)
        elif child.type == "link_close" and dropped:
            dropped -= 1
            continue
        elif child.type == "image":
            child.attrSet("src", address(str(child.attrs["src"])) or "")
            child.attrSet("loading", "lazy")
        yield child


def sections(tokens: Sequence[Token]) -> Iterator[Section]:
    """Each heading with the text below it, and each row with a code of its own, which ends before its heading does."""
    title, anchor, level, lines = "", "", 1, list[str]()
    row: list[str] | None = None
    for before, token in pairwise(tokens):
        if token.type == "heading_open" and title:
            yield Section(anchor, title, level, " ".join(lines))
        elif before.type == "heading_open":
            title, anchor, level, lines = plain(token), str(before.attrs.get("id", "")), int(before.tag[1]), []
        elif token.type == "tr_open" and "id" in token.attrs:
            row = []
        elif token.type == "tr_close" and row:
            yield Section(row[0], row[0], ROW, " ".join(row[1:]))
            row = None
        elif token.type in ("inline", "fence"):
            text = plain(token) if token.type == "inline" else token.content
            (lines if row is None else row).append(text)
    if title:
        yield Section(anchor, title, level, " ".join(lines))


def html(tokens: Sequence[Token]) -> str:
    """HTML without the first heading, which is the page's own. Whatever may scroll can be reached by keyboard, and
    a corner of a table that is empty is not a heading.
    """
    start = next((index + 3 for index, token in enumerate(tokens) if token.type == "heading_open"), 0)
    written: str = PARSER.renderer.render(list(tokens[start:]), PARSER.options, {})
    written = written.replace("<pre>", '<pre tabindex="0">').replace("</table>", "</table></div>")
    written = written.replace("<th></th>", "<td></td>")
    return re.sub("<table>", _scrolling(count(1)), written)


def _scrolling(numbers: Iterator[int]) -> Callable[[re.Match[str]], str]:
    def opened(table: re.Match[str]) -> str:
        label = f"Table {next(numbers)}"
        return f'<div class="table-wrap" tabindex="0" role="region" aria-label="{label}">{table[0]}'

    return opened
