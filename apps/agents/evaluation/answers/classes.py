"""Answers that are classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, softmax

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.answers import Answer, AnswerKind, ChangedAnswer, Confusion, Histogram, Scores
from apps.agents.datasets.loading import Labels
from apps.agents.datasets.split import Indices
from apps.agents.evaluation.answers.confusion import class_name, confusion_of
from apps.agents.evaluation.answers.meter import AnswerMeter, Changes, Found, histogram, rounded
from apps.agents.evaluation.metrics.classification import Ints, class_scores, predicted
from apps.agents.evaluation.metrics.comparing import Array
from apps.agents.measuring.statistics.intervals import Floats

NEAR_1 = 1e-2
"""How far from 1 the sum of a distribution in low precision may be."""


@dataclass
class _Side:
    """One model's answers."""

    classes: list[Ints] = field(default_factory=list)
    scores: list[Floats] = field(default_factory=list)
    raw: list[Array] = field(default_factory=list)
    """Of an output with one column, whose meaning all examples together decide."""


class ClassAnswers(AnswerMeter):
    """The class that each model predicts, as the scorers read it, and its score.

    With labels, a right answer that became wrong is worse. Without, the original's answers stand for the truth, and a
    change is neither worse nor better.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        self._output = spec.output or "0"
        self._labelled = spec.needs_labels
        self._labels: list[Ints] = []
        self._sides = (_Side(), _Side())
        self._scores: Scores | None = None

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        if self._labelled:
            self._labels.append(np.asarray(labels, dtype=np.int64))
        for output, side in zip((original, candidate), self._sides, strict=True):
            scores = class_scores(output, self._output)
            if scores.shape[1] == 1:
                side.raw.append(np.asarray(output).reshape(-1))
                continue
            if self._scores is None:
                self._scores = Scores.OUTPUT if _is_distribution(scores) else Scores.SOFTMAX
            shares = scores if self._scores is Scores.OUTPUT else softmax(scores, axis=1)
            best = predicted(output)
            side.classes.append(best)
            side.scores.append(np.asarray(np.take_along_axis(shares, best[:, np.newaxis], axis=1)[:, 0]))

    def found(self, examples: Indices, classes: Sequence[str]) -> Found:
        kind = self._read_single_column() if self._sides[0].raw else self._scores or Scores.NONE
        before, after = (np.concatenate(side.classes) for side in self._sides)
        scores = [np.concatenate(side.scores) if side.scores else None for side in self._sides]
        truth = np.concatenate(self._labels) if self._labels else None
        changes = _changes(before, after, truth, scores[0])

        def answer(side: int, place: int, number: int) -> Answer:
            score = scores[side]
            return Answer(
                label=class_name(number, classes), score=None if score is None else rounded(float(score[place]))
            )

        shown = tuple(
            ChangedAnswer(
                example=int(examples[place]),
                truth=None if truth is None else class_name(int(truth[place]), classes),
                original=answer(0, place, int(before[place])),
                candidate=answer(1, place, int(after[place])),
                turn=turn,
                change=rounded(float(changes.sizes[place])),
            )
            for place, turn in changes.shown
        )
        return Found(
            kind=AnswerKind.CLASSES,
            turns=changes.turns,
            shown=shown,
            histograms=_histograms(scores),
            scores=kind,
            confusion=_confusion(truth, before, after, classes),
        )

    def _read_single_column(self) -> Scores:
        """Turns outputs with one column into classes and scores, as `predicted` reads them."""
        raw = [np.concatenate(side.raw) for side in self._sides]
        for side, values in zip(self._sides, raw, strict=True):
            side.classes = [predicted(values, like=raw[0])]
        if raw[0].dtype.kind in "iu":
            return Scores.NONE
        likely = bool(raw[0].min() >= 0 and raw[0].max() <= 1)
        for side, values in zip(self._sides, raw, strict=True):
            second = values.astype(np.float64) if likely else expit(values.astype(np.float64))
            side.scores = [np.where(side.classes[0] == 1, second, 1 - second)]
        return Scores.OUTPUT if likely else Scores.SOFTMAX


def _confusion(truth: Ints | None, before: Ints, after: Ints, classes: Sequence[str]) -> Confusion:
    """By label; without labels, by the original's answers."""
    if truth is None:
        return confusion_of(before, None, after, classes)
    return confusion_of(truth, before, after, classes)


def _changes(before: Ints, after: Ints, truth: Ints | None, scores: Floats | None) -> Changes:
    """The surer the original was of what it answered, the larger the change."""
    changed = before != after
    nothing = np.zeros_like(changed)
    right, still = (nothing, nothing) if truth is None else (before == truth, after == truth)
    sizes = np.ones(len(before)) if scores is None else scores
    return Changes(changed, worse=right & ~still, better=~right & still, sizes=sizes)


def _histograms(scores: Sequence[Floats | None]) -> tuple[Histogram, ...]:
    before, after = scores
    if before is None or after is None:
        return ()
    return (histogram("score of the answer", before, after, ends=(0.0, 1.0)),)


def _is_distribution(scores: Floats) -> bool:
    return bool(scores.min() >= 0 and np.all(np.abs(scores.sum(axis=1) - 1) < NEAR_1))
