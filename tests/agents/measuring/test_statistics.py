"""Intervals and tests against known values, and their coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.measuring.statistics.intervals import (
    Floats,
    Indices,
    bootstrap,
    bootstrap_p,
    mcnemar_p,
    share,
    share_difference,
)


def test_wilson_agrees_with_the_textbook() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: 81 of 263, and 0 of 20.
    interval = share(81, 263, 0.95)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert share(0, 20, 0.95).high == pytest.approx(0.1611, abs=5e-5)


@pytest.mark.parametrize("trials", [1, 2, 17, 3000])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_agrees_with_scipy(trials: int, confidence: float) -> None:
    """Whose `stats` loads for half a second, which every evaluation would wait for."""
    for successes in {0, 1, trials // 3, trials // 2, trials - 1, trials}:
        known = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
        found = share(successes, trials, confidence)
        assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-14)


@given(lost=st.integers(0, 200), won=st.integers(0, 200))
def test_mcnemar_agrees_with_scipy(lost: int, won: int) -> None:
    known = scipy.stats.binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert mcnemar_p(lost, won) == pytest.approx(known, rel=1e-10)


def test_tango_agrees_with_the_published_example() -> None:
    # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014) 2850-2875: 21 children, 1 and 7 discordant.
    interval = share_difference(1, 7, 21, 0.95)
    assert interval.value == pytest.approx(-0.286, abs=5e-4)
    assert (interval.low, interval.high) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_tango_without_discordant_pairs_has_its_closed_form() -> None:
    # The score equation comes to n d² = z² (1 − d) d, so d = z² / (n + z²).
    z2 = 1.959964**2
    for n in (16, 300, 2488):
        interval = share_difference(0, 0, n, 0.95)
        assert interval.high == pytest.approx(z2 / (n + z2), rel=1e-4)
        assert interval.low == pytest.approx(-interval.high, rel=1e-4)


def test_every_pair_discordant_stays_inside_the_possible() -> None:
    interval = share_difference(30, 0, 30, 0.95)
    assert interval.value == interval.high == 1.0
    z2 = 1.959964**2
    assert interval.low == pytest.approx((30 - z2) / (30 + z2), rel=1e-4)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 300))
def test_the_difference_lies_in_its_interval_and_mirrors(lost: int, won: int, same: int) -> None:
    n = lost + won + same + 1
    there, back = share_difference(lost, won, n, 0.95), share_difference(won, lost, n, 0.95)
    assert there.low is not None
    assert there.high is not None
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert back.low == pytest.approx(-there.high, abs=1e-6)


def test_tangos_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    lost, won, n, rounds = 0.02, 0.01, 400, 600
    hits = 0
    for a, b, _ in random.multinomial(n, [lost, won, 1 - lost - won], size=rounds):
        interval = share_difference(int(a), int(b), n, 0.95)
        hits += (interval.low or 0) <= lost - won <= (interval.high or 0)
    assert 0.925 <= hits / rounds <= 0.985


def test_mcnemar_is_the_exact_sign_test() -> None:
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(5, 3) == pytest.approx(0.7266, abs=1e-4)
    assert mcnemar_p(0, 6) == pytest.approx(2 / 2**6)
    assert mcnemar_p(3, 5) == mcnemar_p(5, 3)


def means(values: Floats):  # type: ignore[no-untyped-def]
    def statistic(indices: Indices) -> Floats:
        return values[indices].mean(-1)[np.newaxis]

    return statistic


def test_the_bootstrap_of_a_mean_comes_to_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=1000)
    (interval,), resampled = bootstrap(means(values), len(values), 0.95, seed=1)
    error = values.std() / np.sqrt(len(values))
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)
    assert resampled.shape == (1, 2000)


def test_the_bootstrap_covers_a_skewed_mean() -> None:
    random = np.random.default_rng(3)
    hits = 0
    for seed in range(120):
        values = random.exponential(1.0, size=150)
        (interval,), _ = bootstrap(means(values), len(values), 0.90, seed=seed)
        hits += (interval.low or 0) <= 1.0 <= (interval.high or 0)
    assert 0.82 <= hits / 120 <= 0.97


def test_a_paired_difference_is_far_narrower_than_two_single_intervals() -> None:
    random = np.random.default_rng(5)
    original = random.normal(size=500)
    candidate = original + random.normal(0.05, 0.05, size=500)

    def both(indices: Indices) -> Floats:
        a, b = original[indices].mean(-1), candidate[indices].mean(-1)
        return np.stack([a, b, a - b])

    (first, _, drop), values = bootstrap(both, 500, 0.95, seed=2)
    assert (drop.high or 0) - (drop.low or 0) < 0.1 * ((first.high or 0) - (first.low or 0))
    assert (drop.high or 0) < 0
    assert bootstrap_p(values[2]) < 0.01


def test_a_statistic_that_no_resample_moves_has_an_interval_of_no_width() -> None:
    (interval,), values = bootstrap(means(np.ones(50)), 50, 0.95, seed=1)
    assert (interval.low, interval.value, interval.high) == (1.0, 1.0, 1.0)
    assert bootstrap_p(values[0] - 1) == 1.0


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=60)
    assert bootstrap(means(values), 60, 0.95, seed=4)[0] == bootstrap(means(values), 60, 0.95, seed=4)[0]
