"""Where a measurement lies relative to a limit, and how much more evidence would decide.

A constraint holds if the whole interval lies within the limit and is violated if the whole interval lies beyond it. In
between the evidence does not decide, and the verdict states how much more is needed. An exact number always decides.
"""

from __future__ import annotations

import math
from typing import Literal

from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.measurements import Estimate


def decide(measured: Estimate, limit: float, bound: Literal["at most", "at least"]) -> Holds:
    """Where the interval of `measured` lies relative to `limit`. The limit itself still holds."""
    low = measured.value if measured.low is None else measured.low
    high = measured.value if measured.high is None else measured.high
    if bound == "at least":
        low, high, limit = -high, -low, -limit
    if high <= limit:
        return Holds.HOLDS
    return Holds.VIOLATED if low > limit else Holds.INCONCLUSIVE


def more_needed(measured: Estimate, limit: float, observations: int) -> int | None:
    """How many more observations would take `limit` out of the interval, if the value stays the same.

    An interval shrinks with the square root of the observations. `None` if no number is enough: the value lies on the
    limit itself, or there is no interval.
    """
    if measured.low is None or measured.high is None:
        return None
    distance = abs(limit - measured.value)
    reach = measured.high - measured.value if limit >= measured.value else measured.value - measured.low
    if distance == 0 or not math.isfinite(reach):
        return None
    return max(1, math.ceil(observations * (reach / distance) ** 2) - observations)
