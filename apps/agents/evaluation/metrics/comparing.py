"""The base of every task's metrics: the scorer, and paired comparisons of shares and other statistics.

A scorer receives the outputs of both models in batches and keeps a few numbers per example; at the end it compares.
Shares, correlations, cosines and R² are multiplied by 100.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import POINT_UNITS, ClassComparison, Flips, MetricComparison
from apps.agents.datasets.loading import Labels
from apps.agents.measuring.statistics.intervals import (
    Floats,
    Indices,
    Statistic,
    bootstrap,
    bootstrap_p,
    mcnemar_p,
    share,
    share_difference,
)
from apps.agents.measuring.statistics.means import mean_interval, mean_p, ratio_of_means

Array = NDArray[np.generic]
Bools = NDArray[np.bool_]

MCNEMAR = "mcnemar"
PAIRED_BOOTSTRAP = "paired_bootstrap"
MEAN_TEST = "paired_t"


class Scorer(ABC):
    """Takes the outputs of both models and returns comparisons."""

    @abstractmethod
    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        """Add the judged output of both models for one batch, with its labels if the task has any."""

    @abstractmethod
    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        """Every metric of the task, in the task's order."""

    def right(self, metric: Metric) -> tuple[Bools, Bools] | None:
        """Which examples each model gets right, the original first. `None` unless the metric counts only that."""
        return None

    def share(self, metric: Metric, confidence: float) -> MetricComparison | None:
        """The comparison of one metric, at any confidence. `None` if it needs resampling."""
        right = self.right(metric)
        return None if right is None else compare_shares(metric, *right, confidence)

    def values(self, metric: Metric) -> tuple[Floats, Floats] | None:
        """Each model's value of each example, in the unit shown, the original first; `None` unless the metric is their
        mean."""
        if (right := self.right(metric)) is None:
            return None
        original, candidate = right
        return 100.0 * original.astype(np.float64), 100.0 * candidate.astype(np.float64)

    def losses(self, metric: Metric) -> Floats | None:
        """What each example adds to the drop, in the unit shown; `None` if the drop is not the mean of these."""
        values = self.values(metric)
        return None if values is None else losses_of(metric, *values)

    def mean(self, metric: Metric, confidence: float) -> MetricComparison | None:
        """The comparison of a metric that is a mean over examples, at any confidence; `None` if it is none."""
        values = self.values(metric)
        return None if values is None else compare_means(metric, *values, confidence, self.negligible(metric))

    def negligible(self, metric: Metric) -> float | None:
        """See `MetricComparison.negligible`."""
        return None

    def agreement(self, confidence: float) -> Estimate | None:
        """The share of equal top-1 predictions in per cent, if the output is a class."""
        return None

    def flips(self) -> Flips | None:
        """How single predictions changed, if each is right or wrong."""
        return None

    def classes(self, confidence: float, *, identical: bool = False) -> tuple[ClassComparison, ...]:
        """Recall by class, for labelled classification. `identical`: all outputs are equal to the last bit."""
        return ()


def comparison(
    metric: Metric, original: Estimate, candidate: Estimate, drop: Estimate, test: str, p_value: float
) -> MetricComparison:
    """Convert estimates from the statistics (shares as fractions) to the units that `METRICS` shows."""
    spec = METRICS[metric]
    factor = 100.0 if spec.unit in POINT_UNITS else 1.0
    return MetricComparison(
        metric=metric,
        label=spec.label,
        unit=spec.unit,
        higher_is_better=spec.higher_is_better,
        original=times(original, factor),
        candidate=times(candidate, factor),
        drop=times(drop, factor),
        test=test,
        p_value=p_value,
    )


def times(estimate: Estimate, factor: float) -> Estimate:
    """`estimate` and its interval, multiplied by a positive `factor`."""
    low, high = estimate.low, estimate.high
    return Estimate(
        value=estimate.value * factor,
        low=None if low is None else low * factor,
        high=None if high is None else high * factor,
    )


def compare_shares(metric: Metric, original: Bools, candidate: Bools, confidence: float) -> MetricComparison:
    """Compare right and wrong answers: Wilson's intervals, Tango's interval of the difference, McNemar's exact test."""
    n = len(original)
    lost, won = int(np.sum(original & ~candidate)), int(np.sum(~original & candidate))
    found = comparison(
        metric,
        share(int(original.sum()), n, confidence),
        share(int(candidate.sum()), n, confidence),
        share_difference(lost, won, n, confidence),
        MCNEMAR,
        mcnemar_p(lost, won),
    )
    return found.model_copy(update={"lost": lost, "won": won})


def losses_of(metric: Metric, original: Floats, candidate: Floats) -> Floats:
    """What each example loses: positive if the candidate's value is the worse one."""
    return np.asarray(original - candidate if METRICS[metric].higher_is_better else candidate - original)


def compare_means(
    metric: Metric, original: Floats, candidate: Floats, confidence: float, negligible: float | None = None
) -> MetricComparison:
    """Compare means of a value per example, in the unit shown: `mean_interval` of each and of what each example loses.

    The interval of the drop also reaches as far as that of its share of the original's mean, so that a limit on either
    can be held against it.
    """
    spec, losses = METRICS[metric], losses_of(metric, original, candidate)
    drop = mean_interval(losses, confidence)
    if (base := float(original.mean())) > 0:
        share = ratio_of_means(losses, original, confidence)
        low, high = min(drop.low or 0.0, base * (share.low or 0.0)), max(drop.high or 0.0, base * (share.high or 0.0))
        drop = Estimate(value=drop.value, low=low, high=high)
    return MetricComparison(
        metric=metric,
        label=spec.label,
        unit=spec.unit,
        higher_is_better=spec.higher_is_better,
        original=mean_interval(original, confidence),
        candidate=mean_interval(candidate, confidence),
        drop=drop,
        test=MEAN_TEST,
        p_value=mean_p(losses),
        negligible=negligible,
    )


def compare_by_bootstrap(
    metric: Metric, both: Statistic, examples: int, confidence: float, seed: int
) -> MetricComparison:
    """`both` returns the original's and the candidate's metric of each resample, `[2, resamples]`."""
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0

    def with_drop(indices: Indices) -> Floats:
        original, candidate = both(indices)
        return np.stack([original, candidate, sign * (original - candidate)])

    (original, candidate, drop), values = bootstrap(with_drop, examples, confidence, seed)
    return comparison(metric, original, candidate, drop, PAIRED_BOOTSTRAP, bootstrap_p(values[2]))


def means_of(original: Floats, candidate: Floats) -> Statistic:
    """The statistic of two means, each of one number per example."""

    def both(indices: Indices) -> Floats:
        return np.stack([original[indices].mean(-1), candidate[indices].mean(-1)])

    return both


def flat(array: Array) -> Floats:
    """One row of numbers per example."""
    return array.reshape(len(array), -1).astype(np.float64)
