"""Classification: accuracy (top-1, top-5) and F1, from right and wrong answers example by example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.errors.datasets import LabelsInvalid
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import ClassComparison, Flips, MetricComparison
from apps.agents.datasets.loading import Labels
from apps.agents.evaluation.metrics.comparing import Array, Bools, Scorer, compare_by_bootstrap, times
from apps.agents.evaluation.metrics.recall_drops import recall_drops
from apps.agents.measuring.statistics.intervals import Floats, Indices, share

Ints = NDArray[np.int64]

TOP_K = 5


def looks_like_classes(shape: Sequence[int]) -> bool:
    """Whether an output `[batch, …]` is one score for each of at least two classes."""
    return len([axis for axis in shape[1:] if axis != 1]) == 1


def class_scores(output: Array, name: str = "0") -> Floats:
    """`[batch, classes]` from an output with any number of axes of length 1. Raises `OutputUnfit` for other shapes."""
    rest = [axis for axis in output.shape[1:] if axis != 1]
    if len(rest) > 1 or output.dtype.kind not in "fiu":
        raise OutputUnfit(
            output=name,
            shape=list(output.shape),
            task=Task.CLASSIFICATION,
            reason="the task needs one score for each class, or the class number itself",
        )
    return output.reshape(len(output), -1).astype(np.float64)


def top_of(scores: Floats, k: int) -> Ints:
    """The k best classes of each row, best first. The lower number wins a tie, as in argmax."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int64)


def predicted(output: Array, like: Array | None = None) -> Ints:
    """The class that each row of an output `[batch, classes]` predicts.

    A single column is the score of the second of two classes. It is a probability if all values of `like` (by default
    the output itself) lie in 0..1; then the threshold is 0.5. Otherwise it is a logit with the threshold 0. An integer
    output is the class number itself.
    """
    scores = class_scores(output)
    if scores.shape[1] > 1:
        return top_of(scores, 1)[:, 0]
    if output.dtype.kind in "iu":
        return output.reshape(-1).astype(np.int64)
    range_of = scores if like is None else class_scores(like)
    threshold = 0.5 if range_of.min() >= 0 and range_of.max() <= 1 else 0.0
    return (scores[:, 0] > threshold).astype(np.int64)


class ClassificationScorer(Scorer):
    """Top-1, top-5 (with more than five classes) and macro F1.

    The meaning of an output with one column is decided by the original's values (`predicted`).
    """

    def __init__(self, spec: DatasetSpec, classes: Sequence[str]) -> None:
        self._spec, self._names = spec, classes
        self._columns = 0
        self._labels: list[Ints] = []
        self._parts: tuple[list[Array], list[Array]] = ([], [])
        self._top: tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]] = ([], [])

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        truth = np.asarray(labels, dtype=np.int64)
        self._labels.append(truth)
        for output, parts, top in zip((original, candidate), self._parts, self._top, strict=True):
            scores = class_scores(output, self._spec.output or "0")
            self._columns = scores.shape[1]
            if self._columns == 1:
                parts.append(np.asarray(output).reshape(-1))
                continue
            best = top_of(scores, TOP_K)
            parts.append(best[:, 0])
            top.append(np.any(best == truth[:, np.newaxis], axis=1))
        self._check(truth)

    def _check(self, labels: Ints) -> None:
        if self._columns > 1 and len(labels) and int(labels.max()) >= self._columns:
            reason = f"the largest label is {int(labels.max())}, but the model has {self._columns} classes (0 to "
            raise LabelsInvalid(
                label=self._spec.label_name,
                task=Task.CLASSIFICATION,
                reason=f"{reason}{self._columns - 1})",
                field="label",
            )

    def _predictions(self) -> tuple[Ints, Ints, Ints]:
        original, candidate = (np.concatenate(parts) for parts in self._parts)
        labels = np.concatenate(self._labels)
        if self._columns > 1 or original.dtype.kind in "iu":
            return labels, original.astype(np.int64), candidate.astype(np.int64)
        return labels, predicted(original), predicted(candidate, like=original)

    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        labels, original, candidate = self._predictions()
        shares = (self.share(metric, confidence) for metric in (Metric.TOP1, Metric.TOP5))
        found = [share for share in shares if share is not None]

        def both(indices: Indices) -> Floats:
            truth = labels[indices]
            return np.stack([macro_f1(truth, original[indices]), macro_f1(truth, candidate[indices])])

        by_class = compare_by_bootstrap(Metric.MACRO_F1, both, len(labels), confidence, seed)
        found.append(no_surer_than(by_class, found[0]))
        return found

    def right(self, metric: Metric) -> tuple[Bools, Bools] | None:
        if metric is Metric.TOP1:
            labels, original, candidate = self._predictions()
            return original == labels, candidate == labels
        if metric is Metric.TOP5 and self._columns > TOP_K:
            return np.concatenate(self._top[0]), np.concatenate(self._top[1])
        return None

    def agreement(self, confidence: float) -> Estimate | None:
        _, original, candidate = self._predictions()
        return times(share(int(np.sum(original == candidate)), len(original), confidence), 100)

    def flips(self) -> Flips | None:
        labels, original, candidate = self._predictions()
        right, still = original == labels, candidate == labels
        return Flips(
            both_right=int(np.sum(right & still)),
            both_wrong=int(np.sum(~right & ~still)),
            lost=int(np.sum(right & ~still)),
            won=int(np.sum(~right & still)),
            changed=int(np.sum(original != candidate)),
        )

    def classes(self, confidence: float, *, identical: bool = False) -> tuple[ClassComparison, ...]:
        """Recall by class, in the order of the classes, each drop with intervals like a group's."""
        labels, original, candidate = self._predictions()
        right, still = original == labels, candidate == labels
        numbers = np.unique(labels)
        members = [np.flatnonzero(labels == number) for number in numbers]
        drops = recall_drops(right, still, members, confidence, identical=identical)
        return tuple(
            ClassComparison(
                label=self._names[number] if 0 <= number < len(self._names) else str(number),
                examples=len(of),
                original_recall=float(np.mean(right[of])) * 100,
                candidate_recall=float(np.mean(still[of])) * 100,
                p_corrected=drop.p_corrected,
                drop=drop.drop,
                simultaneous=drop.simultaneous,
            )
            for number, of, drop in zip(numbers, members, drops, strict=True)
        )


def no_surer_than(bootstrapped: MetricComparison, exact: MetricComparison) -> MetricComparison:
    """`bootstrapped` with the interval of its drop widened, on both sides, to at least the reach of `exact`'s interval.

    If two models differ in only a few examples, the resamples contain hardly any other outcome, or none, and their
    percentiles are too narrow: with 500 examples of which 0.4 % are discordant they cover the true drop in 70 % of
    cases. Tango's interval for top-1 on the same examples keeps its level. Both drops are in points.
    """
    drop, other = bootstrapped.drop, exact.drop
    if drop.low is None or drop.high is None or other.low is None or other.high is None:
        return bootstrapped
    low = min(drop.low, drop.value - (other.value - other.low))
    high = max(drop.high, drop.value + (other.high - other.value))
    return bootstrapped.model_copy(update={"drop": Estimate(value=drop.value, low=low, high=high)})


def macro_f1(labels: Ints, predictions: Ints) -> Floats:
    """The mean F1 of the classes that occur, for each row of labels and predictions `[rows, examples]`."""
    lowest = min(labels.min(), predictions.min())  # A model that outputs class numbers may output -1.
    labels, predictions = labels - lowest, predictions - lowest
    rows, classes = len(labels), int(max(labels.max(), predictions.max())) + 1
    shift = np.arange(rows)[:, np.newaxis] * classes

    def count(values: Ints) -> Floats:
        return np.bincount(values.ravel(), minlength=rows * classes).reshape(rows, classes).astype(np.float64)

    true, predicted = count(labels + shift), count(predictions + shift)
    both = count((labels + shift)[labels == predictions])
    occurring = (true + predicted) > 0
    f1 = 2 * both / np.where(occurring, true + predicted, 1)
    return np.asarray(f1.sum(1) / occurring.sum(1), dtype=np.float64)
