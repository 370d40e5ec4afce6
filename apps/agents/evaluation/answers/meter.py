"""The base of what keeps answers: one meter for each kind of answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.reports.answers import Answer, AnswerKind, ChangedAnswer, Confusion, Histogram, Scores, Turn
from apps.agents.datasets.loading import Labels
from apps.agents.datasets.split import Indices
from apps.agents.evaluation.metrics.comparing import Array, Bools
from apps.agents.measuring.statistics.intervals import Floats

MOST_SHOWN = {Turn.WORSE: 32, Turn.BETTER: 16, Turn.OTHER: 16}
"""How many changed answers of each turn are shown."""
BINS = 20
BINNED_PER_EXAMPLE = 64
"""How many numbers of one example a histogram counts at most."""


@dataclass(frozen=True)
class Found:
    """What became of the answers: how many took each turn, the ones to show, and how all are spread."""

    kind: AnswerKind
    turns: dict[Turn, int]
    shown: tuple[ChangedAnswer, ...]
    histograms: tuple[Histogram, ...]
    scores: Scores = Scores.NONE
    confusion: Confusion | None = None


class AnswerMeter(ABC):
    """Takes the judged outputs of both models batch by batch and keeps a few numbers per example."""

    @abstractmethod
    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        """Add one batch, in the form that a `Scorer` gets."""

    @abstractmethod
    def found(self, examples: Indices, classes: Sequence[str]) -> Found:
        """What became of the answers. `examples` has the number of each in the order in which they were added."""


@dataclass(frozen=True)
class Changes:
    """Which answers changed, which way, and by how much, example by example."""

    changed: Bools
    worse: Bools
    better: Bools
    sizes: Floats

    @property
    def turns(self) -> dict[Turn, int]:
        return {turn: int(self.mask(turn).sum()) for turn in Turn}

    def mask(self, turn: Turn) -> Bools:
        if turn is Turn.OTHER:
            return self.changed & ~self.worse & ~self.better
        return self.changed & (self.worse if turn is Turn.WORSE else self.better)

    @property
    def shown(self) -> list[tuple[int, Turn]]:
        """The places of the answers to show, of each turn the largest changes first."""
        places: list[tuple[int, Turn]] = []
        for turn, most in MOST_SHOWN.items():
            of = np.flatnonzero(self.mask(turn))
            largest = of[np.argsort(-self.sizes[of], kind="stable")[:most]]
            places += [(int(place), turn) for place in largest]
        return places


def histogram(of: str, original: Floats, candidate: Floats, ends: tuple[float, float] | None = None) -> Histogram:
    """Both models' finite numbers over bins from the lowest to the highest, or between `ends`."""
    sides = [values[np.isfinite(values)] for values in (original.ravel(), candidate.ravel())]
    both = np.concatenate(sides)
    low, high = ends or ((float(both.min()), float(both.max())) if both.size else (0.0, 1.0))
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    counts = [np.histogram(values.clip(edges[0], edges[-1]), edges)[0] for values in sides]
    return Histogram(
        of=of,
        edges=tuple(float(f"{edge:.6g}") for edge in edges),
        original=tuple(map(int, counts[0])),
        candidate=tuple(map(int, counts[1])),
    )


def thinned(rows: NDArray[np.float64]) -> Floats:
    """At most `BINNED_PER_EXAMPLE` numbers of each row, evenly spread over it."""
    step = -(-rows.shape[1] // BINNED_PER_EXAMPLE) or 1
    return np.asarray(rows[:, ::step])


def rounded(value: float) -> float:
    """Six significant digits: what a page shows, and no more in the file."""
    return float(f"{value:.6g}") if np.isfinite(value) else 0.0


def answer_of(numbers: Floats) -> Answer:
    return Answer(numbers=tuple(rounded(float(number)) for number in numbers))
