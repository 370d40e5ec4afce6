"""Answers that are numbers, and answers that are vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apps.agents.contracts.reports.answers import AnswerKind, ChangedAnswer
from apps.agents.datasets.loading import Labels
from apps.agents.datasets.split import Indices
from apps.agents.evaluation.answers.meter import (
    AnswerMeter,
    Changes,
    Found,
    answer_of,
    histogram,
    rounded,
    thinned,
)
from apps.agents.evaluation.metrics.comparing import Array, flat
from apps.agents.evaluation.metrics.embedding import cosines
from apps.agents.measuring.statistics.intervals import Floats

HEAD = 4
"""How many numbers of an answer are kept to be shown."""


class NumberAnswers(AnswerMeter):
    """The numbers that each model predicts. With labels, an answer is worse if its mean absolute error grew."""

    def __init__(self, *, labelled: bool) -> None:
        self._labelled = labelled
        self._heads: tuple[list[Floats], list[Floats]] = ([], [])
        self._thin: tuple[list[Floats], list[Floats]] = ([], [])
        self._errors: tuple[list[Floats], list[Floats]] = ([], [])
        self._truth: list[Floats] = []
        self._apart: list[Floats] = []

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        sides = flat(original), flat(candidate)
        self._apart.append(np.abs(sides[1] - sides[0]).mean(axis=1))
        truth = flat(np.asarray(labels)) if self._labelled else None
        if truth is not None:
            self._truth.append(truth[:, :HEAD])
        for place, rows in enumerate(sides):
            self._heads[place].append(rows[:, :HEAD])
            self._thin[place].append(thinned(rows))
            if truth is not None:
                self._errors[place].append(np.abs(rows - truth).mean(axis=1))

    def found(self, examples: Indices, classes: Sequence[str]) -> Found:
        apart = np.concatenate(self._apart)
        changes = Changes(apart > 0, *self._worse_and_better(len(apart)), sizes=apart)
        before, after = (np.concatenate(heads) for heads in self._heads)
        truth = np.concatenate(self._truth) if self._truth else None
        shown = tuple(
            ChangedAnswer(
                example=int(examples[place]),
                truth=None if truth is None else _written(truth[place]),
                original=answer_of(before[place]),
                candidate=answer_of(after[place]),
                turn=turn,
                change=rounded(float(apart[place])),
            )
            for place, turn in changes.shown
        )
        values = [np.concatenate([part.ravel() for part in parts]) for parts in self._thin]
        return Found(AnswerKind.NUMBERS, changes.turns, shown, (histogram("output", values[0], values[1]),))

    def _worse_and_better(self, examples: int) -> tuple[np.ndarray, np.ndarray]:
        if not self._truth:
            return np.zeros(examples, dtype=bool), np.zeros(examples, dtype=bool)
        before, after = (np.concatenate(errors) for errors in self._errors)
        return after > before, after < before


class SimilarityAnswers(AnswerMeter):
    """The cosine of each model's vector with what it is compared with.

    That is the other vector of a pair, the label, or without labels the original's own vector. An answer is worse if
    its cosine with a label fell; the cosine of a pair says by itself nothing of right and wrong.
    """

    def __init__(self, *, pairs: bool, labelled: bool) -> None:
        self._pairs, self._labelled = pairs, labelled
        self._cosines: tuple[list[Floats], list[Floats]] = ([], [])
        self._truth: list[Floats] = []

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        if self._pairs:
            self._truth.append(np.asarray(labels, dtype=np.float64).reshape(-1))
        target = np.asarray(labels) if self._labelled else original
        for output, parts in zip((original, candidate), self._cosines, strict=True):
            half = len(output) // 2
            parts.append(cosines(output[:half], output[half:]) if self._pairs else cosines(output, target))

    def found(self, examples: Indices, classes: Sequence[str]) -> Found:
        before, after = (np.concatenate(parts) for parts in self._cosines)
        apart, none = np.abs(after - before), np.zeros(len(before), dtype=bool)
        judged = self._labelled and not self._pairs
        changes = Changes(apart > 0, after < before if judged else none, after > before if judged else none, apart)
        truth = np.concatenate(self._truth) if self._truth else None
        shown = tuple(
            ChangedAnswer(
                example=int(examples[place]),
                truth=None if truth is None else _written(truth[place : place + 1]),
                original=answer_of(before[place : place + 1]),
                candidate=answer_of(after[place : place + 1]),
                turn=turn,
                change=rounded(float(apart[place])),
            )
            for place, turn in changes.shown
        )
        return Found(AnswerKind.SIMILARITIES, changes.turns, shown, (histogram(self._of, before, after),))

    @property
    def _of(self) -> str:
        if self._pairs:
            return "cosine of the pair"
        return "cosine with the label" if self._labelled else "cosine with the original's output"


def _written(numbers: Floats) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)
