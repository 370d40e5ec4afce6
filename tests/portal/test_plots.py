"""What the plots are given, from real reports."""

from __future__ import annotations

import json

import pytest

from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.evaluation import EvaluationReport
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
    drawn = json.loads(plots.blocks(evaluation))
    assert len(drawn["original_ms"]) == len(drawn["candidate_ms"]) == evaluation.latency.blocks
    assert drawn["control"]["low"] <= drawn["control"]["value"] <= drawn["control"]["high"]


def test_of_many_classes_those_that_changed_most_are_drawn(evaluation: EvaluationReport) -> None:
    many = tuple(
        ClassComparison(label=str(place), examples=10, original_recall=90.0, candidate_recall=90.0 - place)
        for place in range(plots.MOST_BARS + 20)
    )
    drawn = json.loads(plots.classes(evaluation.model_copy(update={"classes": many})))
    assert len(drawn["labels"]) == plots.MOST_BARS
    assert min(drawn["change_points"]) == -(plots.MOST_BARS + 19)
    assert "0" not in drawn["labels"]


def test_every_layer_of_a_small_model_is_drawn() -> None:
    analysis = AnalysisReport.model_validate(report_body("analysis"))
    drawn = json.loads(plots.layers(analysis))
    assert drawn["names"] == [one.name for one in plots.telling_layers(analysis.layers)]
    assert len(drawn["share"]) == len(drawn["sqnr_db"]) == len(drawn["names"])
    assert drawn["share_of"] == "time"


def test_where_no_layer_was_timed_multiply_accumulates_tell_the_shares() -> None:
    analysis = AnalysisReport.model_validate(report_body("analysis"))
    untimed = [
        layer(place, None, None).model_copy(update={"macs": macs}) for place, macs in enumerate((30, None, 0, 70))
    ]
    drawn = json.loads(plots.layers(analysis.model_copy(update={"layers": tuple(untimed)})))
    assert drawn["share_of"] == "multiply-accumulates"
    assert drawn["names"] == ["layer 0", "layer 2", "layer 3"]
    assert drawn["share"] == [0.3, 0.0, 0.7]


def test_layers_of_which_nothing_is_known_are_not_drawn() -> None:
    analysis = AnalysisReport.model_validate(report_body("analysis"))
    assert plots.layers(analysis.model_copy(update={"layers": (layer(1, None, None),)})) == ""


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
