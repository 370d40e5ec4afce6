"""A model's code as shown on a page: line by line, with invisible characters made visible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from apps.agents.contracts.reports.model import CodeFile

MOST_LINES = 5000
"""The maximum number of lines shown per file. The download has the complete file."""
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Marks that change the text direction or have no width. They can make code look different from what it does."""


@dataclass(frozen=True)
class Listing:
    name: str
    lines: tuple[str, ...]
    lines_in_all: int

    @property
    def cut(self) -> bool:
        return self.lines_in_all > len(self.lines)


def listings(files: Iterable[CodeFile]) -> list[Listing]:
    """The files line by line. Invisible characters are replaced by their code points."""
    found = []
    for file in files:
        lines = _INVISIBLE.sub(_named, file.text).removesuffix("\n").split("\n")
        found.append(Listing(file.name, tuple(lines[:MOST_LINES]), len(lines)))
    return found


def _named(found: re.Match[str]) -> str:
    return f"<U+{ord(found[0]):04X}>"
