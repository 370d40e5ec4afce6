"""The picture of the front: where points, limits and intervals lie, and what a screen reader is told."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.optimization.fronts import HEIGHT, LEFT, TOP, WIDTH, Axis, Scatter, scatter_of
from tests.optimization import material

CRITERIA = Criteria(constraints=Constraints(max_metric_drop_points=1.0, min_speedup=2.0))


def drawn(*reports: EvaluationReport, criteria: Criteria = CRITERIA) -> Scatter:
    rows = [(f"c0{place}", "Static int8", "accepted", one) for place, one in enumerate(reports, start=1)]
    return scatter_of(rows, criteria)


def html(scatter: Scatter) -> str:
    return render_to_string("optimization/_front.html", {"scatter": scatter, "anchor": "row-"})


def test_faster_is_further_right_and_less_loss_is_further_up() -> None:
    fast, safe = material.evaluation(speedup=4.0, drop=0.9), material.evaluation(speedup=1.5, drop=0.1)
    marks = {mark.point.key: mark for mark in drawn(fast, safe).marks}
    assert marks["c01"].x > marks["c02"].x > marks["original"].x
    assert marks["c01"].y > marks["c02"].y > marks["original"].y
    for mark in marks.values():
        assert LEFT <= mark.left <= mark.x <= mark.right <= LEFT + WIDTH
        assert TOP <= mark.above <= mark.y <= mark.below <= TOP + HEIGHT


def test_the_limits_lie_within_the_picture_even_if_every_point_misses_them() -> None:
    scatter = drawn(material.evaluation(speedup=1.1, drop=3.0))
    assert scatter.speed_limit is not None
    assert scatter.loss_limit is not None
    marks = {mark.point.key: mark for mark in scatter.marks}
    assert marks["c01"].x < scatter.speed_limit <= LEFT + WIDTH
    assert TOP <= scatter.loss_limit < marks["c01"].y
    assert html(scatter).count('<line class="front-limit"') == 2
    unlimited = Criteria(constraints=Constraints(max_metric_drop_points=None))
    assert "front-limit" not in html(drawn(material.evaluation(), criteria=unlimited))


def test_the_front_is_connected_from_the_slowest_to_the_fastest() -> None:
    scatter = drawn(material.evaluation(speedup=4.0, drop=0.9), material.evaluation(speedup=2.0, drop=0.1))
    assert scatter.front.keys == ("original", "c02", "c01")
    assert [round(one.x2 - one.x1, 6) > 0 for one in scatter.line] == [True, True]


def test_every_point_can_be_focused_and_says_everything_in_words() -> None:
    page = html(drawn(material.evaluation(speedup=3.0, drop=0.5), material.evaluation(speedup=1.5, drop=0.9)))
    assert (
        'aria-label="c01 Static int8, accepted: 3× as fast [2.91, 3.09], 4 times smaller, a loss of 0.5 points '
        '[0.4, 0.6] on 800 test examples. On the front."'
    ) in page
    assert "Beaten by c01 in everything." in page
    assert 'href="#row-c01"' in page
    assert 'id="front-original"' in page
    assert 'tabindex="0"' in page


def test_an_interval_without_end_is_drawn_to_the_edge_and_not_said() -> None:
    report = material.evaluation(drop=0.5)
    primary = report.primary.model_copy(update={"drop": Estimate(value=0.5, low=-UNKNOWN, high=UNKNOWN)})
    scatter = drawn(report.model_copy(update={"metrics": (primary,)}))
    mark = next(one for one in scatter.marks if not one.is_original)
    assert (mark.above, mark.below) == (TOP, TOP + HEIGHT)
    assert "1,000,000,000" not in mark.described


def test_a_single_value_still_has_an_axis_and_round_ticks() -> None:
    axis = Axis.of([1.0, 1.0], 0.0, 100.0)
    assert axis.low < 1.0 < axis.high
    assert axis.at(1.0) == pytest.approx(50.0)
    assert Axis.of([0.0, 4.0], 0.0, 100.0).ticks == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_nothing_measured_is_nothing_to_draw() -> None:
    assert not scatter_of([], CRITERIA).shown
