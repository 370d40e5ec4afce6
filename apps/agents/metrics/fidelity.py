"""Fidelity: without labels, the original is the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.agents.dataset_spec import Metric
from apps.agents.datasets import Labels
from apps.agents.metrics.classification import class_scores, top_of
from apps.agents.metrics.comparing import (
    MCNEMAR,
    Array,
    Scorer,
    compare_by_bootstrap,
    comparison,
    means_of,
    times,
)
from apps.agents.metrics.embedding import cosines
from apps.agents.reports import Estimate, MetricComparison
from apps.agents.statistics import Floats, mcnemar_p, share


class FidelityScorer(Scorer):
    """The original is the truth: the share of equal top-1 classes, and the mean cosine of the outputs.

    `by_class` is whether the output is one score a class; other outputs have cosines only.
    """

    def __init__(self, *, by_class: bool) -> None:
        self._by_class = by_class
        self._equal: list[NDArray[np.bool_]] = []
        self._cosines: list[Floats] = []

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        self._cosines.append(cosines(original, candidate))
        if self._by_class:
            best = [top_of(class_scores(output), 1)[:, 0] for output in (original, candidate)]
            self._equal.append(best[0] == best[1])

    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        found = []
        if self._by_class:
            equal = np.concatenate(self._equal)
            changed = int(np.sum(~equal))
            kept = share(int(equal.sum()), len(equal), confidence)
            drop = Estimate(value=1 - kept.value, low=1 - (kept.high or 1.0), high=1 - (kept.low or 0.0))
            found.append(comparison(Metric.AGREEMENT, Estimate(value=1.0), kept, drop, MCNEMAR, mcnemar_p(changed, 0)))
        similar = np.concatenate(self._cosines)
        both = means_of(np.ones_like(similar), similar)
        found.append(compare_by_bootstrap(Metric.COSINE, both, len(similar), confidence, seed))
        return found

    def agreement(self, confidence: float) -> Estimate | None:
        if not self._by_class:
            return None
        equal = np.concatenate(self._equal)
        return times(share(int(equal.sum()), len(equal), confidence), 100)
