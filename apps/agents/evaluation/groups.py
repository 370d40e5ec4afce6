"""What each group of examples loses.

Groups are compared like the whole data set: with Tango's interval and McNemar's exact test if each example is right or
wrong, otherwise with the paired bootstrap and the paired t test. With many groups, some differ by chance. So p-values
are corrected by Holm's method (Scandinavian Journal of Statistics 6 (1979) 65-70), and the intervals that are compared
with a limit are simultaneous (Bonferroni). Compression can harm some groups without changing the mean: Hooker,
Courville, Clark, Dauphin and Frome, "What do compressed deep neural networks forget?" (2019).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.contracts.reports.metrics import GroupComparison
from apps.agents.evaluation.metrics.comparing import Bools, Scorer, times
from apps.agents.measuring.statistics.intervals import Floats, Indices, bootstrap, holm, mcnemar_p, share_difference

Names = NDArray[np.generic]


def compare_groups(
    names: Names | None,
    scorer: Scorer,
    metric: Metric | None,
    confidence: float,
    seed: int,
    *,
    identical: bool = False,
) -> tuple[GroupComparison, ...]:
    """The drop of `metric` in each group, largest first.

    `names` has one group per example, in the order in which the scorer received them. Empty if there are no groups, or
    if the metric is not a mean over examples.
    """
    losses = None if metric is None else scorer.losses(metric)
    if names is None or metric is None or losses is None:
        return ()
    groups = np.unique(names)
    members = [np.flatnonzero(names == group) for group in groups]
    levels = confidence, 1 - (1 - confidence) / len(groups)
    compare = _exactly_equal if identical else _Drops(losses, scorer.right(metric), levels, seed)
    found = [compare(rows) for rows in members]
    corrected = holm([one.p_value for one in found])
    compared = [
        GroupComparison(
            group=str(group),
            examples=len(rows),
            drop=one.drop,
            simultaneous=one.simultaneous,
            p_value=one.p_value,
            p_corrected=p_corrected,
        )
        for group, rows, one, p_corrected in zip(groups, members, found, corrected, strict=True)
    ]
    return tuple(sorted(compared, key=lambda one: (-one.drop.value, one.group)))


class _Drop(NamedTuple):
    drop: Estimate
    simultaneous: Estimate
    p_value: float


class _Drops:
    """The drop of some of the examples, with its interval at two confidences."""

    def __init__(
        self, losses: Floats, right: tuple[Bools, Bools] | None, levels: tuple[float, float], seed: int
    ) -> None:
        self._losses, self._right, self._levels, self._seed = losses, right, levels, seed

    def __call__(self, rows: Indices) -> _Drop:
        if self._right is None:
            (drop, p_value), (simultaneous, _) = (
                _mean(self._losses[rows], level, self._seed) for level in self._levels
            )
            return _Drop(drop, simultaneous, p_value)
        right, still = self._right[0][rows], self._right[1][rows]
        lost, won = int(np.sum(right & ~still)), int(np.sum(~right & still))
        drop, simultaneous = (times(share_difference(lost, won, len(rows), level), 100) for level in self._levels)
        return _Drop(drop, simultaneous, mcnemar_p(lost, won))


def _exactly_equal(rows: Indices) -> _Drop:
    """The drop of outputs that are identical to the last bit: exactly 0."""
    nothing = Estimate(value=0.0, low=0.0, high=0.0)
    return _Drop(nothing, nothing, 1.0)


def _mean(losses: Floats, confidence: float, seed: int) -> tuple[Estimate, float]:
    """The mean with its bootstrap interval, and the p-value for a mean of 0. With one example the interval is
    unbounded.

    The p-value comes from the t test: a bootstrap p-value cannot be smaller than the number of resamples allows, and
    the correction for many groups needs smaller ones.
    """
    if len(losses) < 2:
        return Estimate(value=float(losses.mean()), low=-UNKNOWN, high=UNKNOWN), 1.0

    def mean(indices: Indices) -> Floats:
        return np.asarray(losses[indices].mean(-1))[np.newaxis]

    (drop,), _ = bootstrap(mean, len(losses), confidence, seed)
    if not losses.std():
        return drop, 0.0 if losses[0] else 1.0
    return drop, float(scipy.stats.ttest_1samp(losses, 0.0).pvalue)
