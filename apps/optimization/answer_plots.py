"""The confusion matrices and histograms of answers, ready for their templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.agents.contracts.reports.answers import Confusion, Histogram
from apps.optimization import heat
from apps.optimization.fronts import LEFT, WIDTH, Axis, Tick
from apps.optimization.localized import localized, number

TOP, HEIGHT = 4.0, 82.0
"""The area of the bars in the picture, in percent."""
EDGE_LABELS = 5


@dataclass(frozen=True)
class Matrix:
    """One model's matrix. `rows` has the true class and the cells of each row."""

    name: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, list[heat.Cell]], ...]


def matrices(confusion: Confusion) -> tuple[Matrix, ...]:
    """Both models' matrices with the same shades; only the candidate's where the original is the truth."""
    sides = {_("Original"): confusion.original, _("Candidate"): confusion.candidate}
    drawn = {name: rows for name, rows in sides.items() if rows}
    largest = max((value for rows in drawn.values() for row in rows for value in row), default=0)
    return tuple(
        Matrix(name, confusion.classes, tuple(zip(confusion.classes, heat.counts(rows, largest), strict=True)))
        for name, rows in drawn.items()
    )


@dataclass(frozen=True)
class Bar:
    """One bin of one model, in percent of the picture."""

    side: str
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class Bin:
    """A row of the table below the picture."""

    low: str
    high: str
    original: int
    candidate: int


@dataclass(frozen=True)
class Bars:
    """A histogram of both models over the same bins, with bars side by side."""

    histogram: Histogram

    @property
    def of(self) -> str:
        return self.histogram.of

    @property
    def bars(self) -> list[Bar]:
        found, wide = [], WIDTH / len(self.histogram.original)
        for place, (name, values) in enumerate(self._sides.items()):
            for bin_number, value in enumerate(values):
                top = self._up.at(value)
                left = LEFT + wide * (bin_number + 0.1 + 0.4 * place)
                found.append(Bar(name, round(left, 2), round(0.4 * wide, 2), top, round(TOP + HEIGHT - top, 2)))
        return found

    @property
    def ticks(self) -> list[Tick]:
        """Round counts on the vertical axis."""
        return [Tick(self._up.at(value), localized(f"{value:,.0f}")) for value in self._up.ticks if value >= 0]

    @property
    def edge_ticks(self) -> list[Tick]:
        """Some edges of the bins."""
        edges = self.histogram.edges
        step = max(1, (len(edges) - 1) // EDGE_LABELS)
        wide = WIDTH / (len(edges) - 1)
        return [Tick(round(LEFT + wide * place, 2), number(edges[place])) for place in range(0, len(edges), step)]

    @property
    def bins(self) -> list[Bin]:
        edges = [number(edge) for edge in self.histogram.edges]
        both = zip(self.histogram.original, self.histogram.candidate, strict=True)
        return [Bin(edges[place], edges[place + 1], *counts) for place, counts in enumerate(both)]

    @property
    def _sides(self) -> dict[str, Sequence[int]]:
        return {"original": self.histogram.original, "candidate": self.histogram.candidate}

    @property
    def _up(self) -> Axis:
        """Counts from 0 upwards: an axis whose low end is drawn below its high end."""
        highest = max((*self.histogram.original, *self.histogram.candidate, 1))
        return Axis(0.0, float(highest), TOP + HEIGHT, -HEIGHT)
