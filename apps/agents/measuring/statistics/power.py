"""The power of the verdicts on shares: what a number of examples can decide, before any are measured.

Plain Python for the web process. The test is the one that verdicts use: Tango's interval lies within the limit
(`tango`; for sample sizes see Tango 1998 and Liu, Hsueh, Hsieh and Chen, Statistics in Medicine 21 (2002) 231-245).
Probabilities are exact sums over the possible outcomes of n examples, not approximations: an example is *discordant* if
only one model is right, the number of those is binomial, and so is the share of losses among them. A large range of
discordant counts is evaluated at `MOST_TERMS` places spread over it.

For other metrics, which have a bootstrap interval, it uses the normal approximation with a previously measured spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

from apps.agents.measuring.statistics.certainty import quantile
from apps.agents.measuring.statistics.tango import excess

ASSURED = 0.8
"""The probability that counts as "can be decided" (Cohen, Statistical Power Analysis, 1988, section 2.4)."""
MOST_EXAMPLES = 10**8
MOST_TERMS = 80
REACH_SD = 6.0
"""Discordant counts further from their mean than this are left out: their probability is one in a thousand million."""
CLOSE = 0.005
"""Precision of the search for a limit or a number of examples, as a share of it."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Chances:
    """How often sessions end in each verdict. The sum is 1."""

    holds: float
    violated: float

    @property
    def undecided(self) -> float:
        return max(0.0, 1.0 - self.holds - self.violated)


# --- shares ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def chances(examples: int, limit: float, discordant: float, confidence: float, drop: float = 0.0) -> Chances:
    """The verdicts' probabilities for a candidate with this true `drop`; `limit`, `drop` and `discordant` are shares.

    `discordant` is the share of examples that only one of the two models gets right, at least the absolute `drop`.
    """
    z = quantile(confidence)
    losing = 0.5 if discordant == 0 else (discordant + drop) / (2 * discordant)
    holds = violated = 0.0
    most_held = most_unbroken = 0
    for count, weight in _discordant_counts(examples, discordant):
        shown = _Shown(examples, limit, z, count)
        most_held = _most_losses(count, most_held, shown.holds)
        most_unbroken = _most_losses(count, most_unbroken, shown.is_unbroken)
        holds += weight * binomial_cdf(most_held, count, losing)
        violated += weight * (1.0 - binomial_cdf(most_unbroken, count, losing))
    return Chances(holds, violated)


class _Shown(NamedTuple):
    """The outcome of a session in which `discordant` examples are right in only one of the two models."""

    examples: int
    limit: float
    z: float
    discordant: int

    def holds(self, lost: int) -> bool:
        """Whether the interval's upper end lies within the limit if `lost` of them are losses."""
        return excess(lost, self.discordant - lost, self.examples, self.limit, -self.z) <= 0

    def is_unbroken(self, lost: int) -> bool:
        """Whether its lower end lies within the limit."""
        won = self.discordant - lost
        within = (lost - won) / self.examples <= self.limit
        return within or excess(lost, won, self.examples, self.limit, self.z) <= 0


@lru_cache(maxsize=1024)
def smallest_limit(examples: int, discordant: float, confidence: float) -> float:
    """The smallest limit, a share, that a candidate without any loss provably holds with probability `ASSURED`."""
    low, high = 0.0, 1.0
    while high - low > CLOSE * high:
        middle = (low + high) / 2
        if chances(examples, middle, discordant, confidence).holds >= ASSURED:
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=1024)
def examples_needed(limit: float, discordant: float, confidence: float) -> int | None:
    """How many examples prove a candidate without any loss within `limit` with probability `ASSURED`.

    `None` for a limit of 0, which cannot be proven, and above `MOST_EXAMPLES`.
    """
    if limit <= 0:
        return None
    z, assured = quantile(confidence), _NORMAL.inv_cdf(ASSURED)
    guess = max(z**2 * (1 - limit) / limit, (z + assured) ** 2 * discordant / limit**2)
    low, high = 0, max(1, math.ceil(guess))
    while chances(high, limit, discordant, confidence).holds < ASSURED:
        low, high = high, math.ceil(high * 1.5)
        if high > MOST_EXAMPLES:
            return None
    while high - low > max(1, int(CLOSE * high)):
        middle = (low + high) // 2
        if chances(middle, limit, discordant, confidence).holds >= ASSURED:
            high = middle
        else:
            low = middle
    return high


def _discordant_counts(examples: int, share: float) -> Iterator[tuple[int, float]]:
    """Discordant counts and their probabilities, which sum to 1. From a large range, some are selected evenly."""
    spread = math.sqrt(examples * share * (1 - share))
    first = max(0, math.floor(examples * share - REACH_SD * spread - 1))
    last = min(examples, math.ceil(examples * share + REACH_SD * spread + 1))
    # An odd step covers both even and odd counts.
    counts = range(first, last + 1, max(1, (last - first) // MOST_TERMS) | 1)
    weights = [_binomial(count, examples, share) for count in counts]
    total = sum(weights)
    for count, weight in zip(counts, weights, strict=True):
        yield count, weight / total


def _most_losses(count: int, guess: int, within: Callable[[int], bool]) -> int:
    """The most losses among `count` discordant examples that `within` allows; -1 for none. It never allows more."""
    low, high, step = -1, count + 1, 1
    place = min(max(guess, 0), count)
    while low < place < high:  # Outwards from the guess: the previous count's result is close.
        if within(place):
            low, place = place, place + step
        else:
            high, place = place, place - step
        step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return low


def _binomial(successes: int, trials: int, share: float) -> float:
    if share in (0.0, 1.0):
        return float(successes == trials * share)
    ways = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return math.exp(ways + successes * math.log(share) + (trials - successes) * math.log1p(-share))


def binomial_cdf(most: int, trials: int, share: float) -> float:
    """The probability of at most `most` successes: the regularized incomplete beta function (DLMF 8.17.5)."""
    if most < 0:
        return 0.0
    if most >= trials or share == 0.0:
        return 1.0
    if share == 1.0:
        return 0.0
    return _incomplete_beta(trials - most, most + 1, 1 - share)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """By its continued fraction (Press et al., Numerical Recipes, 3rd ed. 2007, section 6.4), for 0 < x < 1."""
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1.0 / _apart(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _apart(1 + term * d, tiny)
            c = _apart(1 + term / c, tiny)
            value *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * value / a


def _apart(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


# --- other metrics, from a measured spread ----------------------------------------------------------------------------


def normal_holds(limit: float, standard_error: float, confidence: float) -> float:
    """The probability that a candidate without any loss is proven within `limit`, in the metric's unit."""
    if standard_error <= 0:
        return 1.0
    return _NORMAL.cdf(limit / standard_error - quantile(confidence))


def normal_smallest_limit(standard_error: float, confidence: float) -> float:
    return (quantile(confidence) + _NORMAL.inv_cdf(ASSURED)) * standard_error


def normal_examples_needed(limit: float, spread: float, confidence: float) -> int | None:
    """`spread` is the standard error times the square root of the number of examples."""
    if limit <= 0:
        return None
    return max(1, math.ceil((normal_smallest_limit(spread, confidence) / limit) ** 2))
