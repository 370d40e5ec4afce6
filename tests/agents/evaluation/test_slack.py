"""The distance to the limits, and the measured candidate that comes nearest to holding them."""

from __future__ import annotations

import pytest

from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.evaluation.slack import distance, nearest_measured, shortfall, slacks_of
from tests.optimization import material


def limit(constraint: str, value: float, limit: float, *, at_least: bool = False) -> ConstraintVerdict:
    margin = value - limit if at_least else limit - value
    return ConstraintVerdict(
        constraint=constraint,
        limit=limit,
        measured=Estimate(value=value),
        unit="×" if at_least else "points",
        status=Holds.HOLDS if margin >= 0 else Holds.VIOLATED,
        margin=margin,
        sentence="",
    )


def report(*constraints: ConstraintVerdict, speedup: float = 3.0) -> EvaluationReport:
    return material.evaluation(speedup=speedup).model_copy(update={"constraints": constraints})


def test_a_shortfall_is_a_share_of_its_limit_and_a_limit_of_zero_has_its_own_unit():
    assert shortfall(8.0, -4.0) == 0.5
    assert shortfall(8.0, 1.0) == 0.0
    assert shortfall(0.0, -0.3) == pytest.approx(0.3)
    assert distance([0.3, 0.4, 0.0]) == pytest.approx(0.5)


def test_the_nearest_misses_least_in_all_and_says_how_much_is_left_of_each_limit():
    far = report(limit("max_metric_drop_points", 0.1, 1.0), limit("min_speedup", 1.0, 2.0, at_least=True))
    near = report(limit("max_metric_drop_points", 1.3, 1.0), limit("min_speedup", 1.8, 2.0, at_least=True))
    found = nearest_measured({"c01": far, "c02": near}, {"c02": "Static int8"})

    assert found is not None
    assert (found.candidate, found.title) == ("c02", "Static int8")
    assert found.distance == pytest.approx((0.3**2 + 0.1**2) ** 0.5)
    assert [(one.constraint, round(one.slack, 3), round(one.shortfall, 3)) for one in found.slacks] == [
        ("max_metric_drop_points", -0.3, 0.3),
        ("min_speedup", -0.2, 0.1),
    ]
    assert found.sentence.startswith("c02 comes nearest: it misses 2 of 2 limits, at a distance of 0.316")


def test_where_no_value_misses_a_limit_the_one_with_fewer_unproven_limits_is_nearest():
    within = limit("max_metric_drop_points", 0.4, 1.0)
    unproven = report(within.model_copy(update={"status": Holds.INCONCLUSIVE}), speedup=9.0)
    found = nearest_measured({"c01": unproven, "c02": report(within)}, {})
    assert found is not None
    assert (found.candidate, found.distance) == ("c02", 0.0)
    assert found.sentence == "c02 comes nearest: its measured values do not miss the only limit."


def test_without_limits_or_measurements_nothing_is_near_and_what_is_implausible_is_passed_over():
    assert nearest_measured({}, {}) is None
    assert nearest_measured({"c01": report()}, {}) is None
    impossible = report(limit("max_metric_drop_points", 0.1, 1.0)).model_copy(update={"implausible": ("Too good.",)})
    assert nearest_measured({"c01": impossible}, {}) is None


def test_slacks_keep_the_order_and_the_verdicts_of_the_limits():
    first, second = limit("max_metric_drop_points", 0.1, 1.0), limit("min_speedup", 1.0, 2.0, at_least=True)
    assert [(one.constraint, one.status) for one in slacks_of((first, second))] == [
        ("max_metric_drop_points", Holds.HOLDS),
        ("min_speedup", Holds.VIOLATED),
    ]
