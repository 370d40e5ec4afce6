"""What each class's recall loses, with intervals that hold for one class and for all of them at once.

Tango's interval and McNemar's exact test, as for groups (`evaluation.groups`): p-values are corrected by Holm's method,
and the simultaneous intervals by Bonferroni.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.evaluation.metrics.comparing import Bools, times
from apps.agents.measuring.statistics.intervals import Indices, holm, mcnemar_p, share_difference


class RecallDrop(NamedTuple):
    """The drop of one class's recall, in points."""

    drop: Estimate
    simultaneous: Estimate
    p_corrected: float


def recall_drops(
    right: Bools, still: Bools, members: Sequence[Indices], confidence: float, *, identical: bool = False
) -> list[RecallDrop]:
    """One drop for each class. `right` and `still` say which examples the original and the candidate get right;
    `members` has each class's examples. If all outputs are `identical` to the last bit, every drop is exactly 0.
    """
    levels = confidence, 1 - (1 - confidence) / max(1, len(members))
    counts = [(int(np.sum(right[of] & ~still[of])), int(np.sum(~right[of] & still[of])), len(of)) for of in members]
    corrected = holm([mcnemar_p(lost, won) for lost, won, _ in counts])
    found = []
    for (lost, won, examples), p_corrected in zip(counts, corrected, strict=True):
        nothing = Estimate(value=0.0, low=0.0, high=0.0)
        drop, all_at_once = (
            (nothing, nothing)
            if identical
            else (times(share_difference(lost, won, examples, level), 100) for level in levels)
        )
        found.append(RecallDrop(drop, all_at_once, p_corrected))
    return found
