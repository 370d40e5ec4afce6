"""Watches both models answer, and tells afterwards what became of the answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apps.agents.contracts.dataset_spec import TASKS_OF_TEXTS_ALONE, DatasetSpec
from apps.agents.contracts.reports.answers import AnswerKind, Answers, Turn
from apps.agents.contracts.reports.dataset import Task
from apps.agents.datasets.loading import Dataset, Labels
from apps.agents.datasets.split import Indices
from apps.agents.evaluation.answers.classes import ClassAnswers
from apps.agents.evaluation.answers.meter import AnswerMeter, Found
from apps.agents.evaluation.answers.numbers import NumberAnswers, SimilarityAnswers
from apps.agents.evaluation.metrics import compares_classes
from apps.agents.evaluation.metrics.comparing import Array

TOKENS = "The model predicts tokens, and these are too many to be kept one by one."
EXACT = "The judged output has integers, truth values or texts. They are compared as a whole."


class AnswerWatch:
    """Receives what the scorers receive, and the number of each example."""

    def __init__(self) -> None:
        self._meter: AnswerMeter | None = None
        self._examples: list[Indices] = []

    def add(self, spec: DatasetSpec, original: Array, candidate: Array, labels: Labels) -> None:
        """Add one batch of judged outputs."""
        if is_left_out(spec, original):
            return
        self._meter = self._meter or _meter_for(spec, original.shape)
        self._meter.add(original, candidate, labels)

    def note_examples(self, examples: Indices) -> None:
        """The numbers of the examples in the batches to come, in their order."""
        self._examples.append(examples)

    def answers(self, dataset: Dataset) -> Answers:
        """What became of the answers, without excerpts of the examples."""
        if self._meter is None:
            tokens = dataset.spec.task in TASKS_OF_TEXTS_ALONE
            return Answers(task=dataset.spec.task, kind=AnswerKind.NONE, reason=TOKENS if tokens else EXACT)
        examples = np.concatenate(self._examples)
        return _with_groups(self._meter.found(examples, dataset.summary.classes), dataset, len(examples))


def is_left_out(spec: DatasetSpec, output: Array) -> bool:
    """Whether answers to this task are not kept one by one."""
    return spec.task in TASKS_OF_TEXTS_ALONE or (spec.task is Task.FIDELITY and output.dtype.kind != "f")


def _meter_for(spec: DatasetSpec, shape: Sequence[int]) -> AnswerMeter:
    labelled = spec.needs_labels
    if spec.task is Task.CLASSIFICATION or (spec.task is Task.FIDELITY and compares_classes(spec, shape)):
        return ClassAnswers(spec)
    if spec.task is Task.EMBEDDING:
        return SimilarityAnswers(pairs=spec.paired, labelled=labelled)
    if spec.task is Task.FIDELITY and int(np.prod(shape[1:])) > 1:
        return SimilarityAnswers(pairs=False, labelled=False)
    return NumberAnswers(labelled=labelled)


def _with_groups(found: Found, dataset: Dataset, examples: int) -> Answers:
    numbers = np.asarray([one.example for one in found.shown], dtype=np.int64)
    names = dataset.groups_of(numbers) if len(numbers) else None
    groups = [None] * len(numbers) if names is None else [str(name) for name in names]
    shown = (one.model_copy(update={"group": group}) for one, group in zip(found.shown, groups, strict=True))
    return Answers(
        task=dataset.spec.task,
        kind=found.kind,
        examples=examples,
        worse=found.turns[Turn.WORSE],
        better=found.turns[Turn.BETTER],
        other=found.turns[Turn.OTHER],
        shown=tuple(shown),
        scores=found.scores,
        confusion=found.confusion,
        histograms=found.histograms,
    )
