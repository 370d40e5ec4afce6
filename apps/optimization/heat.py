"""Tables of numbers as heat maps: each cell keeps its number, and its shade says how large that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.optimization.localized import localized

SHADES = 9
"""`heat-1` to `heat-9` of the stylesheet; 0 is plain."""


@dataclass(frozen=True)
class Cell:
    """One number. `text` is shown, `shade` is 0 to `SHADES`."""

    text: str
    shade: int
    title: str = ""
    strong: bool = False


def shade(value: float, largest: float) -> int:
    """The shade of a count from 0: small ones are seen beside large ones, because the root is drawn."""
    if value <= 0 or largest <= 0:
        return 0
    return max(1, min(SHADES, math.ceil(SHADES * math.sqrt(value / largest))))


def shades_between(values: Iterable[float | None]) -> list[int]:
    """The shade of each positive value by its logarithm, between the lowest and the highest; 0 for what is missing."""
    known = list(values)
    logs = [None if value is None or value <= 0 else math.log(value) for value in known]
    present = [one for one in logs if one is not None]
    low, span = min(present, default=0.0), (max(present, default=0.0) - min(present, default=0.0)) or 1.0
    return [0 if one is None else 1 + round((SHADES - 1) * (one - low) / span) for one in logs]


def counts(matrix: Sequence[Sequence[int]], largest: int) -> list[list[Cell]]:
    """A matrix of counts, its diagonal strong."""
    return [
        [
            Cell(localized(f"{value:,}"), shade(value, largest), strong=row == column)
            for column, value in enumerate(values)
        ]
        for row, values in enumerate(matrix)
    ]
