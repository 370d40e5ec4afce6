"""Intervals of means that hold far out in the tails, where a bootstrap of a few thousand resamples has nothing to say.

Everything is on plain arrays, one number per example, and exact arithmetic: nothing is drawn.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.measuring.statistics.intervals import Floats


def mean_interval(values: Floats, confidence: float) -> Estimate:
    """The mean of at least two `values`, with the wider of two intervals on each side: Student's, and Hall's.

    Student's is wrong where the values are skewed: with a few very low ones, a sample that happens to have none of them
    shows too high a mean and too small a spread. Hall's transformation of the statistic removes that error to the
    first order ("On the removal of skewness by transformation", JRSS B 54 (1992) 221-228). Where it would make a side
    narrower, Student's stays.
    """
    count, mean = len(values), float(values.mean())
    spread = float(values.std(ddof=1))
    if spread == 0:
        return Estimate(value=mean, low=mean, high=mean)
    skewness = float(((values - mean) ** 3).mean()) / float(values.std()) ** 3
    reach = float(scipy.special.stdtrit(count - 1, 0.5 + confidence / 2)) / math.sqrt(count)
    below = max(reach, _hall(reach, skewness, count))
    above = max(reach, -_hall(-reach, skewness, count))
    return Estimate(value=mean, low=mean - below * spread, high=mean + above * spread)


def _hall(reach: float, skewness: float, count: int) -> float:
    """The mean less the bound, in standard deviations, whose transformed statistic is `reach`."""
    if abs(skewness) < 1e-6:
        return reach
    return 3 / skewness * (float(np.cbrt(1 + skewness * (reach - skewness / (6 * count)))) - 1)


def mean_p(values: Floats) -> float:
    """Student's two-sided p-value for a mean of 0; 1 if all values are 0."""
    spread = float(values.std(ddof=1))
    if spread == 0:
        return float(not values.any())
    t = float(values.mean()) / spread * math.sqrt(len(values))
    return float(2 * scipy.special.stdtr(len(values) - 1, -abs(t)))


def ratio_of_means(above: Floats, below: Floats, confidence: float) -> Estimate:
    """The mean of `above` as a share of the mean of `below`, which must be positive: `mean_interval` of what each
    example adds to the difference from that share (Fieller's problem, to the first order)."""
    base = float(below.mean())
    share = float(above.mean()) / base
    around = mean_interval((above - share * below) / base, confidence)
    low, high = around.low or 0.0, around.high or 0.0
    return Estimate(value=share, low=share + low, high=share + high)
