"""What a number of examples can decide, against what Tango's own interval does on drawn samples."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from apps.agents.measuring.statistics import power
from apps.agents.measuring.statistics.certainty import quantile
from apps.agents.measuring.statistics.intervals import share_difference

SAMPLES = 2000
SIMULATION_ERROR = 0.035
"""Three standard errors of a share of 2000 samples, and a little."""


@pytest.mark.parametrize(
    ("examples", "limit", "discordant", "drop", "confidence"),
    [
        (605, 0.01, 0.03, 0.0, 0.95),
        (605, 0.01, 0.03, 0.0154, 0.95),
        (2400, 0.01, 0.03, 0.0, 0.95),
        (150, 0.05, 0.1, 0.0, 0.9),
        (2400, 0.005, 0.01, 0.0, 0.99),
    ],
)
def test_chances_are_those_of_the_interval_that_verdicts_use(
    examples: int, limit: float, discordant: float, drop: float, confidence: float
) -> None:
    shares = [(discordant + drop) / 2, (discordant - drop) / 2, 1 - discordant]
    drawn, counts = np.unique(
        np.random.default_rng(1).multinomial(examples, shares, size=SAMPLES), axis=0, return_counts=True
    )
    intervals = [share_difference(int(lost), int(won), examples, confidence) for lost, won, _ in drawn]
    weights = counts / SAMPLES
    held = sum(weights[at] for at, one in enumerate(intervals) if (one.high or 0.0) <= limit)
    broken = sum(weights[at] for at, one in enumerate(intervals) if (one.low or 0.0) > limit)
    found = power.chances(examples, limit, discordant, confidence, drop)
    assert found.holds == pytest.approx(held, abs=SIMULATION_ERROR)
    assert found.violated == pytest.approx(broken, abs=SIMULATION_ERROR)
    assert found.undecided == pytest.approx(1 - held - broken, abs=2 * SIMULATION_ERROR)


@pytest.mark.parametrize(
    ("most", "trials", "share"),
    [(3, 10, 0.5), (480, 1000, 0.5), (10, 2000, 0.01), (0, 5, 0.3), (9, 9, 0.2), (-1, 5, 0.5)],
)
def test_binomial_chances_are_scipys(most: int, trials: int, share: float) -> None:
    assert power.binomial_cdf(most, trials, share) == pytest.approx(
        float(stats.binom.cdf(most, trials, share)), abs=1e-9
    )


def test_a_true_loss_at_the_limit_is_hardly_ever_held_to_be_within_it() -> None:
    for discordant in (0.02, 0.05, 0.1):
        assert power.chances(2400, 0.01, discordant, 0.95, drop=0.01).holds < 0.03


def test_the_smallest_limit_and_the_examples_that_would_do_agree() -> None:
    for examples, discordant in ((605, 0.03), (2400, 0.1), (40_000, 0.01)):
        limit = power.smallest_limit(examples, discordant, 0.95)
        assert power.chances(examples, limit, discordant, 0.95).holds >= power.ASSURED
        assert power.chances(examples, limit * 0.9, discordant, 0.95).holds < power.ASSURED
        assert power.examples_needed(limit, discordant, 0.95) == pytest.approx(examples, rel=0.05)


def test_more_examples_decide_more_and_more_confidence_less() -> None:
    by_examples = [power.smallest_limit(examples, 0.03, 0.95) for examples in (100, 400, 1600, 6400)]
    assert by_examples == sorted(by_examples, reverse=True)
    by_confidence = [power.smallest_limit(1600, 0.03, confidence) for confidence in (0.8, 0.95, 0.99)]
    assert by_confidence == sorted(by_confidence)


def test_no_number_of_examples_proves_that_nothing_at_all_is_lost() -> None:
    assert power.examples_needed(0.0, 0.03, 0.95) is None
    assert power.normal_examples_needed(0.0, 3.0, 0.95) is None


def test_a_candidate_that_changes_nothing_leaves_wilsons_bound() -> None:
    z = quantile(0.95)
    assert power.smallest_limit(1000, 0.0, 0.95) == pytest.approx(z**2 / (1000 + z**2), rel=0.01)


def test_it_is_fast_enough_for_a_form_that_reacts() -> None:
    start = time.process_time()
    for discordant in (0.01, 0.03, 0.1):
        power.chances(123_457, 0.0031, discordant, 0.957)
        power.smallest_limit(123_457, discordant, 0.957)
        power.examples_needed(0.0031, discordant, 0.957)
    assert time.process_time() - start < 2.0


def test_other_metrics_are_reckoned_from_their_spread() -> None:
    error = 20 / np.sqrt(2000)
    limit = power.normal_smallest_limit(error, 0.95)
    assert power.normal_holds(limit, error, 0.95) == pytest.approx(power.ASSURED)
    assert power.normal_examples_needed(limit, 20.0, 0.95) == pytest.approx(2000, abs=1)
