"""Calibration alone in the plan: equalization before int8 where channels are far apart, careful rounding to 4 bits."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.state import CandidateRecord, Plan
from apps.agents.planning.agent import PlanningAgent
from tests.agents.inmemory import DATASET, GRAPH, STATIC, minilm, resnet

EQUALIZE, GPTQ, ADAROUND, LOW = "onnx-equalize", "onnx-gptq", "onnx-adaround", "onnx-low-bits"
BLOCKS = "onnx-weight-only"


def _plan(analysis: AnalysisReport, **more: object) -> Plan:
    usual = {"objective": Objective.SIZE, "constraints": Constraints(max_metric_drop_points=1.0)}
    return PlanningAgent().plan(analysis, Criteria(**{**usual, **more}), DATASET)


def _chains(plan: Plan) -> list[list[str]]:
    return [[link.technique for link in one.steps] for one in plan.candidates]


def _made_by(plan: Plan, *techniques: str) -> list[CandidateRecord]:
    return [one for one in plan.candidates if [link.technique for link in one.steps] == list(techniques)]


def _spread(factor: float, sqnr_db: float) -> AnalysisReport:
    """The residual network with the channels of its convolutions this far apart, and as noisy in 8 bits."""
    analysis = resnet().analysis
    layers = tuple(
        one.model_copy(update={"channel_spread": factor, "sqnr_db": sqnr_db}) if one.op_type == "Conv" else one
        for one in analysis.layers
    )
    operators = tuple(
        one.model_copy(update={"sqnr_db": sqnr_db}) if one.op_type == "Conv" else one
        for one in analysis.operator_sensitivity
    )
    return analysis.model_copy(update={"layers": layers, "operator_sensitivity": operators})


def test_channels_far_apart_are_equalized_before_int8_which_is_then_predicted_to_lose_less():
    plan = _plan(_spread(50.0, 12.0))
    (both,) = _made_by(plan, EQUALIZE, GRAPH, STATIC)
    assert "far apart in 20 layers (up to 50 times)" in both.reason
    plain = [one for one in plan.candidates if one.steps[-1].technique == STATIC and len(one.steps) == 2]
    weighed = {one.title for one in plan.omitted}
    assert all(both.predicted.metric_drop_points < one.predicted.metric_drop_points for one in plain)
    assert plain or weighed


def test_a_predicted_collapse_of_plain_int8_does_not_rule_out_the_equalized_one():
    plan = _plan(_spread(80.0, 0.0))
    assert _made_by(plan, EQUALIZE, GRAPH, STATIC)
    assert [GRAPH, STATIC] not in [chain for chain in _chains(plan) if EQUALIZE in chain]


@pytest.mark.parametrize("factor", [None, 3.0])
def test_like_channels_are_not_equalized(factor: float | None):
    analysis = resnet().analysis if factor is None else _spread(factor, 30.0)
    assert not [chain for chain in _chains(_plan(analysis)) if EQUALIZE in chain]


def test_four_bits_of_convolutions_are_tried_to_nearest_and_rounded_with_care():
    plan = _plan(resnet().analysis)
    (nearest,) = _made_by(plan, GRAPH, LOW)
    for technique in (GPTQ, ADAROUND):
        (careful,) = _made_by(plan, technique, GRAPH, LOW)
        assert careful.steps[0].parameters["bits"] == careful.steps[-1].parameters["bits"] == 4
        assert careful.predicted.size_ratio == pytest.approx(nearest.predicted.size_ratio, rel=0.01)
        assert careful.predicted.metric_drop_points < nearest.predicted.metric_drop_points
    assert not [chain for chain in _chains(plan) if chain[-1] in (GPTQ, ADAROUND, EQUALIZE)]


def test_matrix_products_of_attention_networks_are_rounded_in_the_blocks_that_are_stored():
    plan = _plan(minilm().analysis)
    (careful,) = _made_by(plan, GPTQ, GRAPH, BLOCKS)
    first, last = careful.steps[0].parameters, careful.steps[-1].parameters
    assert (first["bits"], first["block_size"]) == (last["bits"], last["block_size"]) == (4, 32)
    assert not last["embeddings"]
    assert not [chain for chain in _chains(plan) if LOW in chain or ADAROUND in chain]
