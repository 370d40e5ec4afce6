"""Group-sequential test: examines the evidence before it is complete, and stops once it is clear.

Each look spends part of the probability of error, little at first (Lan and DeMets, Biometrika 70 (1983) 659-663, with
their O'Brien-Fleming spending function). An interval at a look, as wide as its critical value, keeps its level whenever
the test stops (repeated confidence intervals: Jennison and Turnbull, Group Sequential Methods, 2000, ch. 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy

from apps.agents.measuring.statistics.intervals import Floats

SHARES = (0.25, 0.5, 1.0)
"""Shares of the test part after which there is a look."""
LEAST_EXAMPLES = 256
"""Minimum of the first portion. If it would have fewer, all examples are used at once."""
_GRID = 801
_REACH = 9.0
"""Standard deviations that the grid covers."""


def shares_for(examples: int) -> tuple[float, ...]:
    """When to look at `examples` examples: only at the end if there are few."""
    return SHARES if examples * SHARES[0] >= LEAST_EXAMPLES else (1.0,)


def spent(alpha: float, share: float) -> float:
    """The part of the one-sided probability of error `alpha` that may be spent once `share` of the examples is seen."""
    return float(min(alpha, 2 * scipy.special.ndtr(scipy.special.ndtri(alpha / 2) / np.sqrt(share))))


@lru_cache(maxsize=64)
def critical_values(alpha: float, shares: Sequence[float]) -> tuple[float, ...]:
    """The normal quantile for each look's interval, such that one side errs at any look with probability `alpha`.

    The density of the statistic over the paths that have not stopped is propagated from look to look on a grid
    (Armitage, McPherson and Rowe, JRSS A 132 (1969) 235-244). `shares` are ascending and end at 1.
    """
    critical: list[float] = []
    score, density, before, used = np.zeros(1), np.ones(1), 0.0, 0.0
    for share in shares:
        step, deviation = np.sqrt(share - before), np.sqrt(share)
        allowed = spent(alpha, share) - used
        z = float(scipy.optimize.brentq(_excess, -_REACH, _REACH, args=(allowed, score, density, step, deviation)))
        critical.append(z)
        used += allowed
        score, density = _carried(score, density, step, z * deviation, deviation)
        before = share
    return tuple(critical)


def _excess(z: float, allowed: float, score: Floats, density: Floats, step: float, deviation: float) -> float:
    """How much the probability of crossing `z` first at this look exceeds what is allowed."""
    return float(np.sum(density * scipy.special.ndtr((score - z * deviation) / step))) - allowed


def _carried(score: Floats, density: Floats, step: float, end: float, deviation: float) -> tuple[Floats, Floats]:
    """Masses on a new grid below `end`, where the test continues, after a step of standard deviation `step`."""
    edges = np.linspace(-_REACH * deviation, end, _GRID)
    middle = (edges[1:] + edges[:-1]) / 2
    apart = (middle[np.newaxis] - score[:, np.newaxis]) / step
    reached = density @ np.exp(-(apart**2) / 2) / (np.sqrt(2 * np.pi) * step)
    return middle, reached * (edges[1] - edges[0])
