"""How much certainty it costs to choose among several. Plain Python: the manager runs where numpy is not installed.

The member's confidence is that of a two-sided interval: 95 % leaves a probability of 2.5 % on the side that matters,
namely that a candidate beyond a limit is judged to be within it. Several finalists share that probability (Bonferroni),
and Holm's step-down method passes on what a proven finalist no longer needs (Holm, Scandinavian Journal of Statistics 6
(1979) 65-70).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

from apps.agents.contracts.reports.measurements import Estimate

MOST_FINALISTS = 3
WORTH_ANOTHER = 1.02
"""A further finalist must increase the expected gain by this factor, because judging it widens every interval."""
WORTH_PASSING_OVER = 1.1
"""A contender that ranks lower is judged instead of a higher one only if it increases the expected gain by this factor.
Of equal scores, the expected gain alone would prefer the smaller loss, however slow the candidate is."""
HOPELESS = 0.1
"""If no contender has a better chance of being proven than this, one is judged: more would only add lucky results."""
LOOKED_AT = 8
"""How many of the most promising contenders are combined."""
_NORMAL = NormalDist()


def chance_of_error(confidence: float) -> float:
    """The probability of error on one side of a two-sided interval: 0.025 for 0.95."""
    return (1 - confidence) / 2


def shared_confidence(confidence: float, finalists: int) -> float:
    """The confidence of each interval if `finalists` share the member's: 0.95 becomes 0.975 for two."""
    return 1 - (1 - confidence) / finalists


def quantile(confidence: float) -> float:
    """The normal quantile of a two-sided interval: 1.96 for 0.95."""
    return _NORMAL.inv_cdf(0.5 + confidence / 2)


# --- who is judged ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prospect:
    """A loss as the validation examples show it, against its limit. `loss` has its interval at `confidence`."""

    loss: Estimate
    limit: float
    confidence: float
    share: float
    """Validation examples for each test example."""

    def chance(self, confidence: float) -> float:
        """The probability that the whole interval at `confidence` will lie within the limit on new examples.

        Both estimates are assumed to be normal around one true loss, with errors that shrink with the root of the
        number of examples. However lucky the validation examples are, a candidate is never expected to be better than
        one without any loss.
        """
        value, high = self.loss.value, self.loss.high
        if high is None or high == value:
            return float(value <= self.limit)
        known = (high - value) / quantile(self.confidence)
        to_come = known * math.sqrt(self.share)
        room = self.limit - quantile(confidence) * to_come
        return min(_NORMAL.cdf((room - value) / math.hypot(known, to_come)), _NORMAL.cdf(room / to_come))


@dataclass(frozen=True)
class Contender:
    """A candidate that may be judged: its score, and the known values of each limited loss."""

    key: str
    score: float
    prospects: tuple[Prospect, ...] = ()

    def chance(self, confidence: float) -> float:
        """The probability that it will be proven within every limit."""
        return min((one.chance(confidence) for one in self.prospects), default=1.0)


def finalists(
    ranked: Sequence[Contender], confidence: float, most: int = MOST_FINALISTS, before: int = 0
) -> tuple[str, ...]:
    """Which of `ranked` (best first) are judged, in their order: the number that maximizes the expected gain.

    The gain of a score is its logarithm. Finalists are judged in order until one is proven. Each is judged with
    `shared_confidence`, so one more is worth its cost only if another may well fail. What ranks highest is judged first
    unless that costs much of the expected gain. `before` is how many were judged on the same examples earlier: they
    share the chance of error as well.
    """
    if not ranked or all(one.chance(confidence) < HOPELESS for one in ranked):
        return tuple(one.key for one in ranked[:1])
    chances = {
        count: {one.key: one.chance(shared_confidence(confidence, before + count)) for one in ranked}
        for count in range(1, most + 1)
    }
    hopes = sorted(ranked, key=lambda one: -chances[1][one.key] * math.log(max(one.score, 1.0)))[:LOOKED_AT]
    looked_at = [one for one in ranked if one in hopes]
    most_expected, chosen = _best_set(looked_at, looked_at, chances, most)
    for first in looked_at[: looked_at.index(chosen[0])]:
        expected, some = _best_set(looked_at, [first], chances, most)
        if expected * WORTH_PASSING_OVER >= most_expected:
            chosen = some
            break
    return tuple(one.key for one in chosen)


def _best_set(
    ranked: Sequence[Contender], firsts: Sequence[Contender], chances: Mapping[int, Mapping[str, float]], most: int
) -> tuple[float, tuple[Contender, ...]]:
    """The largest expected gain, and the contenders judged for it, of which one of `firsts` ranks highest."""
    chosen, most_expected = tuple(firsts[:1]), 0.0
    for count in range(1, min(most, len(ranked)) + 1):
        sets = [some for some in combinations(ranked, count) if some[0] in firsts]
        if not sets:
            break
        best = max(sets, key=lambda some: expected_gain(some, chances[count]))
        expected = expected_gain(best, chances[count])
        if expected > most_expected * (WORTH_ANOTHER if count > 1 else 1.0):
            chosen, most_expected = best, expected
    return most_expected, chosen


def expected_gain(judged: Sequence[Contender], chances: Mapping[str, float]) -> float:
    """Expected gain of judging these in order until one is proven: each gain times its probability of being first."""
    return sum(chance * math.log(score) for score, chance in outcomes(judged, chances))


def outcomes(judged: Sequence[Contender], chances: Mapping[str, float]) -> tuple[tuple[float, float], ...]:
    """What judging these in order until one is proven ends with: scores with their probabilities, which add up to 1.

    The last one is 1, the score of the original, which stands if none is proven.
    """
    found, none_before = [], 1.0
    for one in judged:
        found.append((max(one.score, 1.0), none_before * chances[one.key]))
        none_before *= 1 - chances[one.key]
    return (*found, (1.0, none_before))


# --- who is proven ---------------------------------------------------------------------------------------------------


def proven_by_holm(held: Mapping[str, Sequence[bool]], planned: int) -> dict[str, int]:
    """Which finalists are proven, each with the number of finalists that shared the probability of error at that step.

    `planned` includes those that were judged before, in sessions that are continued. They count as not proven.

    `held[key][n]` is whether that finalist holds every limit if `planned - n` share the member's probability of error:
    the first entry is the strictest. Finalists that were not judged are missing and count as not proven.
    """
    proven: dict[str, int] = {}
    while len(proven) < planned:
        step = len(proven)
        more = [key for key, at in held.items() if key not in proven and at[step]]
        if not more:
            break
        proven |= dict.fromkeys(more, planned - step)
    return proven
