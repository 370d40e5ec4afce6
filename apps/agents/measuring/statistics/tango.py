"""Tango's score statistic for the difference of two shares on the same examples, in plain Python.

Verdicts invert it for their intervals (`intervals`). The predictions before a session (`power`) use it in the web
process, which does not have numpy. Tango, "Equivalence test and confidence interval for the difference in proportions
for the paired-sample design", Statistics in Medicine 17 (1998) 891-908.
"""

from __future__ import annotations

import math


def excess(lost: int, won: int, trials: int, difference: float, critical: float) -> float:
    """How far `lost - won` exceeds what `difference` (a share) and `critical` standard errors allow, in examples.

    The standard error assumes that `difference` is true, with the maximum-likelihood share of wins. It falls as
    `difference` grows: the interval's lower end is the root for the positive quantile, its upper end the root for the
    negative one.
    """
    a = 2 * trials
    b = -lost - won + (2 * trials - lost + won) * difference
    c = -won * difference * (1 - difference)
    nuisance = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = trials * (2 * nuisance + difference * (1 - difference))
    return lost - won - trials * difference - critical * math.sqrt(max(0.0, variance))
