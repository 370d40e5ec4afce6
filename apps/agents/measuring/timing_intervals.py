"""Intervals of ratios and times, on logarithms: of rounds in one process, examined as they come, and of processes.

Everything here is a mean of logarithms, so a speed-up and its inverse have the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy  # Its parts load on first use.

from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.measuring.effort import FEWEST_ROUNDS
from apps.agents.measuring.stopwatch import Floats

SEQUENCE_FROM_ROUNDS = 12
"""With fewer rounds, the interval is computed only once, when all are there."""
RESAMPLES = 1000
MOST_CORRELATED = 0.9
TOO_FEW_TO_CORRELATE = 5
"""Up to this many values, autocorrelation cannot be estimated."""


@dataclass(frozen=True)
class LogInterval:
    """A mean of logarithms and how far its interval reaches to either side; infinite if it is unbounded."""

    mean: float
    reach: float

    def estimate(self) -> Estimate:
        value = math.exp(self.mean)
        if not math.isfinite(self.reach):
            return unknown(value)
        return Estimate(value=value, low=value * math.exp(-self.reach), high=value * math.exp(self.reach))

    @property
    def relative_reach(self) -> float:
        """How far the upper end lies from the value, as a share of it."""
        return math.expm1(self.reach)

    def excludes(self, limit: float) -> bool:
        return abs(math.log(limit) - self.mean) > self.reach


def unknown(value: float) -> Estimate:
    """A guess with an unbounded interval."""
    return Estimate(value=value, low=0.0, high=UNKNOWN)


# --- rounds of one process -------------------------------------------------------------------------------------------


def of_rounds(logs: Floats, confidence: float, seed: int) -> LogInterval:
    """The mean over rounds, with Student's interval for few rounds and a confidence sequence from
    `SEQUENCE_FROM_ROUNDS` on.

    The sequence may be examined after every round and still has the coverage `confidence`. With fewer rounds, only the
    first examination is valid, so it must be final.
    """
    count, mean = len(logs), float(np.mean(logs)) if len(logs) else 0.0
    if count < FEWEST_ROUNDS:
        return LogInterval(mean, math.inf)
    error = error_of_mean(logs, seed)
    if count < SEQUENCE_FROM_ROUNDS:
        return LogInterval(mean, error * student(confidence, count - 1))
    return LogInterval(mean, error * sequence_factor(count, confidence))


def sequence_factor(count: int, confidence: float, tuned_for: int = SEQUENCE_FROM_ROUNDS) -> float:
    """How many standard errors an asymptotic confidence sequence reaches after `count` observations.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
    sequences", Annals of Statistics 52 (2024), theorem 2.2 and its appendix B.2 for `rho`, which makes the sequence
    narrowest at `tuned_for` observations. Two-sided.
    """
    alpha = 1 - confidence
    rho_squared = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / tuned_for
    grown = count * rho_squared + 1
    return math.sqrt(2 * grown / (count * rho_squared) * math.log(math.sqrt(grown) / alpha))


@cache
def student(confidence: float, degrees: int) -> float:
    """The quantile of a two-sided interval."""
    return float(scipy.special.stdtrit(degrees, 0.5 + confidence / 2))


def error_of_mean(values: Floats, seed: int) -> float:
    """The standard error of a mean of values in sequence, whose neighbours may be correlated.

    The error of independent values, times the factor of a first-order autoregression (its coefficient corrected for the
    bias of short series: Kendall, Biometrika 41 (1954)). If the autocorrelation at lag 1 lies beyond ±2/√n, at least
    the error from resampling moving blocks (Künsch, Annals of Statistics 17 (1989)).
    """
    count = len(values)
    plain = float(np.std(values, ddof=1)) / math.sqrt(count)
    lag1 = autocorrelation(values)
    likely = min(MOST_CORRELATED, max(0.0, (count * lag1 + 1) / (count - 3))) if count > TOO_FEW_TO_CORRELATE else 0.0
    error = plain * math.sqrt((1 + likely) / (1 - likely))
    return max(error, _by_moving_blocks(values, seed)) if abs(lag1) > 2 / math.sqrt(count) else error


def _by_moving_blocks(values: Floats, seed: int) -> float:
    count = len(values)
    length = min(count // 2, 2 * math.ceil(count ** (1 / 3)))
    if length < 2:
        return 0.0
    starts = np.random.default_rng(seed).integers(0, count - length + 1, size=(RESAMPLES, math.ceil(count / length)))
    chosen = (starts[:, :, np.newaxis] + np.arange(length)).reshape(RESAMPLES, -1)[:, :count]
    return float(np.std(np.mean(values[chosen], axis=1), ddof=1))


def autocorrelation(values: Floats) -> float:
    """Autocorrelation at lag 1; 0 for constant values."""
    off = values - np.mean(values)
    total = float(off @ off)
    return float(off[1:] @ off[:-1]) / total if total > 0 else 0.0


# --- processes -------------------------------------------------------------------------------------------------------


def of_processes(logs: Sequence[Floats], confidence: float, seed: int) -> LogInterval:
    """The mean over processes, from each process's rounds.

    Student's interval over the processes' means, whose spread already includes that of their rounds. A percentile
    bootstrap would be narrower by a third with six processes, and by nearly two thirds with three. If the means happen
    to agree better than their own rounds allow, the rounds' error is used.
    """
    means = np.array([np.mean(one) for one in logs])
    count, mean = len(means), float(np.mean(means))
    if count < FEWEST_ROUNDS:
        return LogInterval(mean, math.inf)
    between = float(np.std(means, ddof=1)) / math.sqrt(count) * student(confidence, count - 1)
    errors = [error_of_mean(one, seed + number) for number, one in enumerate(logs) if len(one) > 1]
    within = math.sqrt(sum(error**2 for error in errors)) / count
    normal = float(scipy.special.ndtri(0.5 + confidence / 2))
    return LogInterval(mean, max(between, normal * within))
