"""What each group of examples loses.

Groups are compared like the whole, by Tango's interval and McNemar's exact test where each example is right or wrong,
by the paired bootstrap and the paired t test elsewhere. Many are looked at, so that some differ by chance: p-values are
corrected by Holm's method (Scandinavian Journal of Statistics 6 (1979) 65-70), and the intervals that a limit is held
against are simultaneous (Bonferroni). That compression takes from some groups what the mean does not show: Hooker,
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
    """The drop of `metric` by group, those that lose most first.

    `names` has a group for each example in the order in which the scorer was told of them. Nothing where there are no
    groups, or where the metric is no mean over examples.
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
    """The drop of some of the examples, with its interval at each of two confidences."""

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
    """Outputs that are equal to the last bit leave no doubt."""
    nothing = Estimate(value=0.0, low=0.0, high=0.0)
    return _Drop(nothing, nothing, 1.0)


def _mean(losses: Floats, confidence: float, seed: int) -> tuple[Estimate, float]:
    """The mean with its bootstrap interval, and the p-value that it is 0; of one example nothing bounds it.

    The bootstrap's own p-value cannot be smaller than its resamples allow, which a correction for many groups needs.
    """
    if len(losses) < 2:
        return Estimate(value=float(losses.mean()), low=-UNKNOWN, high=UNKNOWN), 1.0

    def mean(indices: Indices) -> Floats:
        return np.asarray(losses[indices].mean(-1))[np.newaxis]

    (drop,), _ = bootstrap(mean, len(losses), confidence, seed)
    if not losses.std():
        return drop, 0.0 if losses[0] else 1.0
    return drop, float(scipy.stats.ttest_1samp(losses, 0.0).pvalue)
