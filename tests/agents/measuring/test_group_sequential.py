"""Looking before all examples are seen: what each look may spend, and that together they err as often as allowed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from apps.agents.measuring.statistics.group_sequential import LEAST_EXAMPLES, SHARES, critical_values, shares_for, spent


def test_the_values_are_those_of_the_tables() -> None:
    """Jennison and Turnbull 2000, and any software: four looks, one-sided 2.5 %, O'Brien and Fleming type spending."""
    assert critical_values(0.025, (0.25, 0.5, 0.75, 1.0)) == pytest.approx((4.333, 2.963, 2.359, 2.014), abs=0.002)
    assert critical_values(0.025, (1.0,)) == pytest.approx((1.960,), abs=0.001)


@pytest.mark.parametrize("alpha", [0.025, 0.025 / 3, 0.005])
def test_all_looks_together_err_as_often_as_allowed(alpha: float) -> None:
    paths, random = 200_000, np.random.default_rng(1)
    steps = np.diff([0, *SHARES])
    sums = np.cumsum(random.standard_normal((paths, len(steps))) * np.sqrt(steps), axis=1)
    crossed = (sums / np.sqrt(SHARES) > critical_values(alpha, SHARES)).any(1).mean()
    assert crossed == pytest.approx(alpha, abs=4 * np.sqrt(alpha / paths))


def test_the_last_look_costs_next_to_nothing() -> None:
    assert critical_values(0.025, SHARES)[-1] < stats.norm.isf(0.025) + 0.02
    assert spent(0.025, 1.0) == pytest.approx(0.025)


def test_few_examples_are_used_at_once() -> None:
    assert shares_for(4 * LEAST_EXAMPLES - 1) == (1.0,)
    assert shares_for(4 * LEAST_EXAMPLES) == SHARES
