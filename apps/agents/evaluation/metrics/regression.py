"""Regression: errors in the label's own unit."""

from __future__ import annotations

import math

import numpy as np

from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.datasets.loading import Labels
from apps.agents.evaluation.metrics.comparing import Array, Scorer, compare_by_bootstrap, flat, means_of
from apps.agents.measuring.statistics.intervals import Floats, Indices

ERRORS = (Metric.MAE, Metric.RMSE)
NEGLIGIBLE = 0.001
"""Of the labels' standard deviation: an error that grows by so little from 0 changes R² by a millionth."""


class RegressionScorer(Scorer):
    """MAE, RMSE and R². With several outputs per example, errors are means over them and R² pools their variances.

    In every resample, R² compares with the mean of the whole sample, so that each example contributes only its own
    terms.
    """

    def __init__(self) -> None:
        self._labels: list[Floats] = []
        self._outputs: tuple[list[Floats], list[Floats]] = ([], [])

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        truth = flat(np.asarray(labels))
        self._labels.append(truth)
        for output, parts in zip((original, candidate), self._outputs, strict=True):
            values = flat(output)
            if values.shape != truth.shape:
                raise OutputUnfit(
                    output="0",
                    shape=list(output.shape),
                    task=Task.REGRESSION,
                    reason=f"the labels have {truth.shape[1]} numbers per example",
                )
            parts.append(values)

    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        truth, errors = self._errors()
        absolute = [np.abs(error).mean(1) for error in errors]
        squared = [(error**2).mean(1) for error in errors]
        spread = ((truth - truth.mean(0)) ** 2).mean(1)
        mean_squares = means_of(*squared)

        def rmse(indices: Indices) -> Floats:
            return np.asarray(np.sqrt(mean_squares(indices)))

        def r2(indices: Indices) -> Floats:
            return np.asarray(
                1 - mean_squares(indices) / np.maximum(spread[indices].mean(-1), np.finfo(np.float64).tiny)
            )

        statistics = [(Metric.MAE, means_of(*absolute)), (Metric.RMSE, rmse)]
        if spread.any():  # R² is undefined if all labels are equal.
            statistics.append((Metric.R2, r2))
        found = [compare_by_bootstrap(metric, both, len(truth), confidence, seed) for metric, both in statistics]
        return [one.model_copy(update={"negligible": self.negligible(Metric(one.metric))}) for one in found]

    def values(self, metric: Metric) -> tuple[Floats, Floats] | None:
        """For the absolute error only: a root or a share of a variance is not a mean over examples."""
        if metric is not Metric.MAE:
            return None
        original, candidate = (np.abs(error).mean(1) for error in self._errors()[1])
        return original, candidate

    def negligible(self, metric: Metric) -> float | None:
        if metric not in ERRORS:
            return None
        truth = np.concatenate(self._labels)
        return NEGLIGIBLE * math.sqrt(float(((truth - truth.mean(0)) ** 2).mean()))

    def _errors(self) -> tuple[Floats, list[Floats]]:
        """The labels, and each model's errors, `[examples, outputs]`."""
        truth = np.concatenate(self._labels)
        return truth, [np.concatenate(parts) - truth for parts in self._outputs]
