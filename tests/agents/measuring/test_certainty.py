"""How many finalists are judged, what each is left of the chance of error, and who is proven."""

from __future__ import annotations

import pytest

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.measuring.statistics.certainty import (
    Contender,
    Prospect,
    chance_of_error,
    finalists,
    proven_by_holm,
    quantile,
    shared_confidence,
)


def contender(key: str, score: float, drop: float, half: float, share: float = 0.25) -> Contender:
    loss = Estimate(value=drop, low=drop - half, high=drop + half)
    return Contender(key, score, (Prospect(loss, 1.0, 0.95, share),))


def test_the_confidence_is_that_of_a_two_sided_interval_and_finalists_share_what_it_leaves() -> None:
    assert chance_of_error(0.95) == pytest.approx(0.025)
    assert quantile(0.95) == pytest.approx(1.96, abs=0.001)
    assert chance_of_error(shared_confidence(0.95, 3)) == pytest.approx(0.025 / 3)
    assert shared_confidence(0.95, 1) == pytest.approx(0.95)


def test_one_that_is_sure_to_be_proven_is_judged_alone() -> None:
    sure = contender("sure", 4.0, 0.0, 0.2)
    assert finalists([sure, contender("other", 3.0, 0.0, 0.2)], 0.95) == ("sure",)


def test_where_the_best_may_well_fail_others_are_judged_too_in_the_order_of_their_rank() -> None:
    ranked = [contender("fast", 4.0, 0.8, 0.8), contender("safe", 3.0, 0.0, 0.6), contender("exact", 2.0, 0.0, 0.0)]
    assert finalists(ranked, 0.95) == ("fast", "safe")
    assert finalists(ranked, 0.95, most=1) == ("safe",)


def test_no_more_than_three_are_judged_of_however_many() -> None:
    ranked = [contender(f"c{at:02}", 4.0 - at / 100, 0.5, 0.9) for at in range(40)]
    assert 1 < len(finalists(ranked, 0.95)) <= 3


def test_with_few_examples_nobody_can_be_proven_and_the_best_alone_is_judged() -> None:
    ranked = [contender("first", 4.0, 0.5, 12.0), contender("second", 3.0, 0.0, 12.0)]
    assert finalists(ranked, 0.95) == ("first",)
    assert finalists([], 0.95) == ()


def test_the_luckiest_validation_examples_promise_no_more_than_a_candidate_without_loss() -> None:
    lucky, none = (contender("x", 2.0, drop, 1.0).prospects[0].chance(0.95) for drop in (-5.0, 0.0))
    assert none < lucky < 0.99
    assert contender("x", 2.0, -500.0, 1.0).prospects[0].chance(0.95) == pytest.approx(lucky, abs=0.01)


def test_more_examples_to_judge_by_make_a_proof_likelier() -> None:
    few, many = (contender("x", 2.0, 0.3, 1.0, share).prospects[0].chance(0.95) for share in (1.0, 0.1))
    assert few < many


def test_the_strictest_level_proves_first_and_leaves_the_others_more() -> None:
    held = {"first": (False, True, True), "second": (True, True, True), "third": (False, False, True)}
    assert proven_by_holm(held, 3) == {"second": 3, "first": 2, "third": 1}


def test_without_a_proof_at_the_strictest_level_nothing_is_proven() -> None:
    assert proven_by_holm({"first": (False, True), "second": (False, True)}, 2) == {}
    assert proven_by_holm({"first": (True, True)}, 2) == {"first": 2}
    assert proven_by_holm({}, 3) == {}


def test_of_equal_scores_the_one_that_ranks_higher_is_judged_first_although_it_loses_more() -> None:
    faster, closer = contender("faster", 3.9, 0.2, 0.4), contender("closer", 3.91, -0.1, 0.4)
    assert faster.chance(0.95) < closer.chance(0.95)

    assert finalists([faster, closer], 0.95)[0] == "faster"


def test_one_that_would_hardly_be_proven_does_not_keep_a_safe_one_from_being_judged() -> None:
    risky, safe = contender("risky", 4.0, 0.95, 0.4), contender("safe", 3.9, 0.0, 0.4)

    assert "safe" in finalists([risky, safe], 0.95)
