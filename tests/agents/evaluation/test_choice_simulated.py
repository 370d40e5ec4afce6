"""The choice among many candidates, simulated: how often a bad one is handed over, and how often a good one.

Fewer sessions than `benchmarks/truth/choice.py` has by itself: what the old way did is far beyond their noise.
"""

from __future__ import annotations

import pytest

from benchmarks.truth.choice import at_the_limit, good_among_bad, tolerated


@pytest.mark.parametrize("count", [6, 12, 24])
def test_of_many_candidates_at_the_limit_hardly_ever_one_is_handed_over(count: int) -> None:
    ours, best_of_all = at_the_limit(400, seed=1, counts=(count,))

    assert ours.at_most == 0.025
    assert ours.noise < 0.025
    assert ours.holds, ours
    assert best_of_all.share > 0.06, "what an interval that pays for nothing does, taken of the best of many"


def test_it_is_as_rare_where_evidence_is_looked_at_before_all_of_it_is_there() -> None:
    ours, _ = at_the_limit(200, seed=1, examples=6000, counts=(12,))

    assert ours.holds, ours


def test_a_good_candidate_among_bad_ones_is_found_as_often_as_by_judging_all_of_them() -> None:
    ours, everyone, halves = good_among_bad(150, seed=1)

    assert ours.holds, (ours, everyone, halves)
    assert ours.share > 0.3


def test_a_loss_beyond_the_limit_is_tolerated_far_less_often_than_when_it_was_measured_once() -> None:
    bad, bad_before, good, good_before = tolerated(400, seed=1)

    assert bad.holds, bad
    assert bad.share < bad_before.share / 2
    assert good.share > 0.5
    assert good_before.share > good.share
