"""Where the bars, lines and intervals of a report's plots lie, from real reports."""

from __future__ import annotations

import pytest

from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import ClassComparison
from apps.optimization import plots
from tests.portal.world import report_body


@pytest.fixture
def evaluation() -> EvaluationReport:
    return EvaluationReport.model_validate(report_body("evaluation"))


def layer(number: int, share: float | None, sqnr_db: float | None) -> Layer:
    return Layer(
        name=f"layer {number}", op_type="Conv", parameters=1, weight_bytes=4, time_share=share, sqnr_db=sqnr_db
    )


def test_blocks_come_with_both_ratios(evaluation: EvaluationReport) -> None:
    drawn = plots.blocks(evaluation)
    assert {line.name: line.last_step for line in drawn.chart.lines} == {
        "original": evaluation.latency.blocks, "candidate": evaluation.latency.blocks
    }  # fmt: skip
    assert [one.estimate for one in drawn.ratios.rows] == [evaluation.latency.control, evaluation.latency.speedup]
    for ratio in drawn.ratios.rows:
        assert 0 <= ratio.left <= ratio.x <= ratio.left + ratio.width <= 100


def test_ratios_share_an_axis_that_starts_at_0_and_has_1(evaluation: EvaluationReport) -> None:
    latency = evaluation.latency.model_copy(
        update={"speedup": Estimate(value=0.25, low=0.2, high=0.3), "control": Estimate(value=1.0)}
    )
    drawn = plots.blocks(evaluation.model_copy(update={"latency": latency})).ratios
    control, speedup = drawn.rows
    assert control.x == control.left == drawn.one
    assert control.width == 0.0, "an exact number has no interval"
    assert speedup.x == pytest.approx(drawn.one / 4, abs=0.02)
    assert drawn.ticks[0] == ("0", 0.0)


def test_of_many_classes_those_that_changed_most_are_drawn(evaluation: EvaluationReport) -> None:
    many = tuple(
        ClassComparison(label=str(place), examples=10, original_recall=90.0, candidate_recall=90.0 - place)
        for place in range(plots.MOST_BARS + 20)
    )
    drawn = plots.classes(evaluation.model_copy(update={"classes": many}))
    assert len(drawn.rows) == plots.MOST_BARS
    assert drawn.further == 20
    assert min(row.change_points for row in drawn.rows) == -(plots.MOST_BARS + 19)
    assert "0" not in [row.label for row in drawn.rows]
    assert drawn.zero == 100.0, "nothing was won, so the axis ends at 0"
    assert drawn.rows[0].left == 0.0


@pytest.mark.parametrize(
    ("changes", "zero", "bars"),
    [
        ((0.0, 0.0), 0.0, [(0.0, 0.0), (0.0, 0.0)]),
        ((-1.0, 3.0), 25.0, [(0.0, 25.0), (25.0, 75.0)]),
        ((2.0, 4.0), 0.0, [(0.0, 50.0), (0.0, 100.0)]),
    ],
)
def test_bars_of_classes_start_where_nothing_changed(
    evaluation: EvaluationReport, changes: tuple[float, ...], zero: float, bars: list[tuple[float, float]]
) -> None:
    some = tuple(
        ClassComparison(label=str(points), examples=10, original_recall=50.0, candidate_recall=50.0 + points)
        for points in changes
    )
    drawn = plots.classes(evaluation.model_copy(update={"classes": some}))
    assert drawn.zero == zero
    assert [(row.left, row.width) for row in drawn.rows] == bars


def drawn_layers(*layers: Layer) -> plots.LayerBars:
    analysis = AnalysisReport.model_validate(report_body("analysis"))
    drawn = plots.layers(analysis.model_copy(update={"layers": layers}))
    assert drawn is not None
    return drawn


def test_every_layer_of_a_small_model_is_drawn() -> None:
    analysis = AnalysisReport.model_validate(report_body("analysis"))
    drawn = drawn_layers(*analysis.layers)
    assert [row.layer for row in drawn.rows] == plots.telling_layers(analysis.layers)
    assert drawn.share_of == "time"
    assert drawn.shares
    assert max(row.share_width for row in drawn.rows) == 100.0


def test_where_no_layer_was_timed_multiply_accumulates_tell_the_shares() -> None:
    untimed = [
        layer(place, None, None).model_copy(update={"macs": macs}) for place, macs in enumerate((30, None, 0, 70))
    ]
    drawn = drawn_layers(*untimed)
    assert drawn.share_of == "multiply-accumulates"
    assert [(row.layer.name, row.share) for row in drawn.rows] == [("layer 0", 0.3), ("layer 2", 0.0), ("layer 3", 0.7)]
    assert not drawn.sensitivities


def test_a_fragile_layer_is_marked_and_noise_above_the_signal_has_no_bar() -> None:
    rows = drawn_layers(layer(1, None, 60.0), layer(2, None, 29.9), layer(3, None, -3.0), layer(4, 0.5, None)).rows
    assert [row.fragile for row in rows] == [False, True, True, False]
    assert [row.sqnr_width for row in rows] == [100.0, 49.83, 0.0, 0.0]


def test_layers_of_which_nothing_is_known_are_not_drawn() -> None:
    analysis = AnalysisReport.model_validate(report_body("analysis"))
    assert plots.layers(analysis.model_copy(update={"layers": (layer(1, None, None),)})) is None


def test_of_many_layers_the_slowest_and_the_most_fragile_are_drawn_in_the_order_of_the_graph() -> None:
    every = [layer(place, place / 1000, 40.0) for place in range(200)]
    every[3] = layer(3, 0.0, 5.0)
    chosen = plots.telling_layers(every)
    assert len(chosen) == plots.MOST_BARS
    assert every[3] in chosen
    assert every[199] in chosen
    assert chosen == sorted(chosen, key=every.index)


def test_a_layer_that_was_not_measured_is_not_drawn() -> None:
    assert plots.telling_layers([layer(1, None, None)]) == []
