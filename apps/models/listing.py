"""Code that came with a model, as a page shows it: in lines, with nothing hidden."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from apps.agents.contracts.reports.model import CodeFile

MOST_LINES = 5000
"""Of one file on a page; the file itself can be downloaded whole."""
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Marks that turn the direction of a text or take no room: with them code can read otherwise than it runs."""


@dataclass(frozen=True)
class Listing:
    name: str
    lines: tuple[str, ...]
    lines_in_all: int

    @property
    def cut(self) -> bool:
        return self.lines_in_all > len(self.lines)


def listings(files: Iterable[CodeFile]) -> list[Listing]:
    """The files line by line. Characters that a reader would not see are written as their numbers."""
    found = []
    for file in files:
        lines = _INVISIBLE.sub(_named, file.text).removesuffix("\n").split("\n")
        found.append(Listing(file.name, tuple(lines[:MOST_LINES]), len(lines)))
    return found


def _named(found: re.Match[str]) -> str:
    return f"<U+{ord(found[0]):04X}>"
