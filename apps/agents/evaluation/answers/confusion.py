"""Confusion matrices of both models, or the pairs of classes that are confused, if there are many classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apps.agents.contracts.reports.answers import Confusion, Mixup
from apps.agents.evaluation.metrics.classification import Ints

MOST_CLASSES = 25
"""More do not fit a matrix that people can read."""
MOST_MIXUPS = 40


def confusion_of(truth: Ints, original: Ints | None, candidate: Ints, classes: Sequence[str]) -> Confusion:
    """Answers by true class. Without `original`, `truth` is what the original answers."""
    sides = [side for side in (original, candidate) if side is not None]
    known = np.unique(np.concatenate([truth, *sides]))
    names = [class_name(int(number), classes) for number in known]
    rows = np.searchsorted(known, truth)
    counts = [_counts(rows, np.searchsorted(known, side), len(known)) for side in sides]
    small = len(known) <= MOST_CLASSES
    return Confusion(
        by_label=original is not None,
        classes=tuple(names) if small else (),
        original=_matrix(counts[0], len(known)) if small and original is not None else (),
        candidate=_matrix(counts[-1], len(known)) if small else (),
        mixups=_mixups(counts, names, both=original is not None),
    )


def class_name(number: int, classes: Sequence[str]) -> str:
    return classes[number] if 0 <= number < len(classes) else str(number)


def _counts(rows: Ints, columns: Ints, size: int) -> dict[tuple[int, int], int]:
    """How often each pair of true class and answer occurs."""
    pairs, counts = np.unique(rows * size + columns, return_counts=True)
    return {divmod(int(pair), size): int(count) for pair, count in zip(pairs, counts, strict=True)}


def _matrix(counts: dict[tuple[int, int], int], size: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(counts.get((row, column), 0) for column in range(size)) for row in range(size))


def _mixups(counts: list[dict[tuple[int, int], int]], names: Sequence[str], *, both: bool) -> tuple[Mixup, ...]:
    before, after = (counts[0] if both else {}), counts[-1]
    wrong = {pair for side in counts for pair in side if pair[0] != pair[1]}

    def importance(pair: tuple[int, int]) -> tuple[int, int, tuple[int, int]]:
        first, second = before.get(pair, 0), after.get(pair, 0)
        return -abs(second - first), -(first + second), pair

    return tuple(
        Mixup(
            truth=names[pair[0]],
            answer=names[pair[1]],
            original=before.get(pair, 0) if both else None,
            candidate=after.get(pair, 0),
        )
        for pair in sorted(wrong, key=importance)[:MOST_MIXUPS]
    )
