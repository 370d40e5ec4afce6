"""Plain paragraphs of enwik8: markup taken off, and whatever is more markup than prose left out."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

READ_BYTES = 20_000_000
PARAGRAPHS = 300
SHORTEST, LONGEST = 400, 800
STEP = 8
"""Of so many fitting paragraphs one is taken, which spreads them over many articles."""

_PIPED_LINK = re.compile(r"\[\[[^\[\]|]*\|([^\[\]|]*)\]\]")
_LINK = re.compile(r"\[\[([^\[\]|:]*)\]\]")
_EMPHASIS = re.compile(r"'{2,}")
_PROSE = re.compile(r"[A-Z][A-Za-z0-9 ,.;:'\"()?!%$-]*[.?!]")


def plain(paragraph: str) -> str:
    """`paragraph` without links, emphasis and entities."""
    text = html.unescape(html.unescape(paragraph))  # the dump escapes what the page had escaped
    for pattern in (_PIPED_LINK, _LINK):
        text = pattern.sub(r"\1", text)
    return " ".join(_EMPHASIS.sub("", text).split())


def paragraphs(markup: str) -> Iterator[str]:
    """The paragraphs of `markup` that are English prose of a middling length once cleaned."""
    for line in markup.splitlines():
        text = plain(line)
        if SHORTEST <= len(text) <= LONGEST and _PROSE.fullmatch(text):
            yield text


def write_paragraphs(archive: Path, path: Path) -> None:
    """Write `PARAGRAPHS` lines with `text` to the jsonl `path`."""
    with gzip.open(archive) as stream:
        markup = stream.read(READ_BYTES).decode("utf-8", "ignore")
    chosen = islice(paragraphs(markup), 0, PARAGRAPHS * STEP, STEP)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen))
