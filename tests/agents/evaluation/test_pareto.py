"""The front of measured candidates: who is dominated, beyond the intervals' overlap, and who is not comparable."""

from __future__ import annotations

from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate, Pair
from apps.agents.evaluation.pareto import Measured, dominates, front_of
from tests.optimization import material


def report(speedup: float, size_ratio: float, drop: float, reach: float = 0.03) -> EvaluationReport:
    """The speed-up's interval reaches by the share `reach` to both sides, the drop's by 0.1 points."""
    made = material.evaluation(speedup=speedup, drop=drop)
    fast = Estimate(value=speedup, low=speedup * (1 - reach), high=speedup * (1 + reach))
    size = Pair(original=400_000, candidate=400_000 / size_ratio, ratio=size_ratio)
    return made.model_copy(update={"latency": made.latency.model_copy(update={"speedup": fast}), "size_bytes": size})


def measured(**reports: EvaluationReport) -> list[Measured]:
    return [Measured(key, key.upper(), "accepted", one) for key, one in reports.items()]


def on_front(**reports: EvaluationReport) -> tuple[str, ...]:
    return front_of(measured(**reports)).keys


def test_what_is_slower_larger_and_worse_than_another_is_dominated_and_says_by_which():
    front = front_of(measured(good=report(3.0, 4.0, 0.1), bad=report(1.5, 2.0, 0.9)))
    assert front.keys == ("original", "good")
    bad = next(one for one in front.points if one.key == "bad")
    assert (bad.on_front, bad.dominated_by) == (False, "good")


def test_every_gain_that_costs_something_else_stays():
    assert on_front(fast=report(4.0, 2.0, 0.5), small=report(1.5, 7.0, 0.5), safe=report(1.2, 1.5, 0.0)) == (
        "safe",
        "small",
        "fast",
    )


def test_a_lead_within_the_intervals_removes_nothing():
    """As fast and as lossy within the intervals, and the same size."""
    assert set(on_front(one=report(3.0, 4.0, 0.10), other=report(2.95, 4.0, 0.15))) == {"original", "one", "other"}
    assert set(on_front(one=report(3.0, 4.0, 0.10), other=report(2.0, 4.0, 0.15))) == {"original", "one"}


def test_the_size_is_exact_and_counts_from_one_per_cent_on():
    hardly = on_front(one=report(3.0, 4.02, 0.1), other=report(3.0, 4.0, 0.1))
    assert {"one", "other"} <= set(hardly)
    assert "other" not in on_front(one=report(3.0, 4.2, 0.1), other=report(3.0, 4.0, 0.1))


def test_what_is_worse_than_the_original_is_dominated_by_it():
    front = front_of(measured(worse=report(0.5, 0.9, 2.0)))
    assert front.keys == ("original",)
    assert front.points[1].dominated_by == "original"


def test_no_two_points_dominate_each_other():
    grid = [report(1 + a / 2, 1 + b, c / 2) for a in range(4) for b in range(3) for c in range(3)]
    points = front_of([Measured(f"c{n}", "", "", one) for n, one in enumerate(grid)]).points
    assert not any(dominates(one, other) and dominates(other, one) for one in points for other in points)
    assert any(one.on_front for one in points)


def test_a_candidate_without_a_speed_or_with_a_gain_nobody_believes_is_no_point():
    busy = material.evaluation_on_a_busy_machine()
    incredible = report(3.0, 40.0, 0.1).model_copy(update={"implausible": ("Too small for its bits.",)})
    front = front_of(measured(busy=busy, incredible=incredible, sound=report(3.0, 4.0, 0.1)))
    assert [one.key for one in front.points] == ["original", "sound"]
    assert front.left_out["incredible"] == "Too small for its bits."
    assert "disturbed" in front.left_out["busy"]


def test_nothing_measured_has_no_front():
    assert front_of([]) == front_of(())
    assert front_of([]).points == ()
