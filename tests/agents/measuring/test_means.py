"""Intervals of means far out in the tails: they rarely drop a candidate that is exactly at its limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy

from apps.agents.measuring.statistics.group_sequential import SHARES, critical_values
from apps.agents.measuring.statistics.intervals import Floats, confidence_of
from apps.agents.measuring.statistics.means import mean_interval, mean_p, ratio_of_means

EXAMPLES = 1024
TIMES = 1500
ALPHA = 0.025
LOOKS = [confidence_of(z) for z in critical_values(ALPHA, SHARES)]
Draw = Callable[[np.random.Generator, int], Floats]


def normal(random: np.random.Generator, count: int) -> Floats:
    return random.normal(size=count)


def rare_large_gains(random: np.random.Generator, count: int) -> Floats:
    """Of fifty examples, one gains twenty times the spread of the others."""
    return random.normal(size=count) - 20.0 * (random.random(count) < 0.02) + 0.4


def rare_large_losses(random: np.random.Generator, count: int) -> Floats:
    return -rare_large_gains(random, count)


def skewed_gains(random: np.random.Generator, count: int) -> Floats:
    return np.exp(0.5) - np.exp(random.normal(size=count))


def heavy_tails(random: np.random.Generator, count: int) -> Floats:
    return random.standard_t(3, size=count)


def few_changed(random: np.random.Generator, count: int) -> Floats:
    """Of a hundred sequences, three lose all."""
    return (random.random(count) < 0.03) - 0.03


@pytest.mark.parametrize(
    "draw",
    [normal, rare_large_gains, rare_large_losses, skewed_gains, heavy_tails, few_changed],
    ids=lambda draw: draw.__name__,
)
def test_a_candidate_exactly_at_the_limit_is_hardly_ever_dropped_early(draw: Draw):
    """The spending function allows 0.08 % at the first two looks; skewness adds to that, but no more than half of what
    one look at all examples may err."""
    random = np.random.default_rng(7)
    early = at_the_end = 0
    for _ in range(TIMES):
        losses = draw(random, EXAMPLES)
        beyond = [
            (mean_interval(losses[: round(share * EXAMPLES)], confidence).low or 0.0) > 0
            for share, confidence in zip(SHARES, LOOKS, strict=True)
        ]
        early += any(beyond[:-1])
        at_the_end += beyond[-1]
    assert early / TIMES <= ALPHA / 2
    assert at_the_end / TIMES <= 2 * ALPHA


def test_a_limit_on_the_share_allows_for_the_uncertain_value_of_the_original():
    """Losses that are a fifth of the original's error in truth: the interval of their share covers a fifth."""
    random = np.random.default_rng(8)
    covered = 0
    for _ in range(500):
        errors = np.abs(random.standard_t(4, size=400))
        losses = 0.2 * np.abs(random.standard_t(4, size=400)) + random.normal(scale=0.3, size=400)
        found = ratio_of_means(losses, errors, 0.95)
        covered += (found.low or 0.0) <= 0.2 <= (found.high or 0.0)
    assert 0.92 <= covered / 500 <= 0.98


def test_without_skewness_it_is_students_interval_and_test():
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]) + 3.0
    found = mean_interval(values, 0.9)
    low, high = scipy.stats.t.interval(0.9, 4, loc=3.0, scale=scipy.stats.sem(values))
    assert (found.low, found.value, found.high) == pytest.approx((low, 3.0, high))
    assert mean_p(values) == pytest.approx(scipy.stats.ttest_1samp(values, 0.0).pvalue)


def test_a_few_very_low_values_lower_the_lower_bound_and_never_raise_it():
    plain = np.random.default_rng(3).normal(size=300)
    skewed = np.concatenate([plain, np.full(3, -15.0)])
    spread, count = skewed.std(ddof=1), len(skewed)
    students = skewed.mean() - scipy.special.stdtrit(count - 1, 0.9995) * spread / np.sqrt(count)
    assert (mean_interval(skewed, 0.999).low or 0.0) < students - 0.05 * spread / np.sqrt(count)
    mirrored = mean_interval(-skewed, 0.999)
    assert (mirrored.high or 0.0) > -students, "the same on the other side"
    reach = scipy.special.stdtrit(count - 1, 0.9995) * spread / np.sqrt(count)
    assert (mirrored.low or 0.0) == pytest.approx(-skewed.mean() - reach), "Student's is the wider one there"


def test_equal_values_are_known_exactly():
    assert mean_interval(np.full(9, 0.5), 0.999).model_dump() == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert (mean_p(np.zeros(9)), mean_p(np.full(9, 0.5))) == (1.0, 0.0)
