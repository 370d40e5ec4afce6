"""Decomposed models in the plan: alone, quantized afterwards, and behind pruning."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.formats import Format
from apps.agents.contracts.state import CandidateRecord, Plan
from apps.agents.planning.agent import PlanningAgent
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.knowledge.decomposition import points_lost
from apps.agents.techniques.order import why_not_after
from apps.agents.techniques.repeatable import is_repeatable
from tests.agents.inmemory import DATASET, DECOMPOSE, GRAPH, PRUNE, STATIC, resnet


def _plan() -> Plan:
    return PlanningAgent().plan(resnet().analysis, PROFILES["fastest"], DATASET)


def _with(plan: Plan, *techniques: str) -> list[CandidateRecord]:
    return [one for one in plan.candidates if [link.technique for link in one.steps] == list(techniques)]


def test_every_share_is_planned_alone_and_with_the_best_number_types_after_it():
    plan = _plan()
    for candidates in (_with(plan, DECOMPOSE), _with(plan, DECOMPOSE, GRAPH, STATIC)):
        assert {one.steps[0].parameters["removed"] for one in candidates} == {0.25, 0.4, 0.6}
    alone = sorted(_with(plan, DECOMPOSE), key=lambda one: one.steps[0].parameters["removed"])
    for field in ("speedup", "size_ratio", "metric_drop_points"):
        values = [getattr(one.predicted, field) for one in alone]
        assert values == sorted(values)
        assert values[0] < values[-1]


def test_one_candidate_is_pruned_then_decomposed_then_quantized():
    plan = _plan()
    (one,) = _with(plan, PRUNE, DECOMPOSE, GRAPH, STATIC)
    alone = [_with(plan, DECOMPOSE, GRAPH, STATIC), _with(plan, PRUNE, GRAPH, STATIC)]
    assert one.predicted.size_ratio > max(other.predicted.size_ratio for other in alone[0])
    parts = [link.parameters for link in one.steps]
    assert {"macs_removed", "removed"} <= parts[0].keys() | parts[1].keys()


@pytest.mark.parametrize("later", [PRUNE, "onnx-graph", STATIC, "onnx-recover"])
def test_pruning_comes_before_and_everything_else_may_follow(later: str):
    known = catalogue()
    reason = why_not_after(known[later], [known[DECOMPOSE]], Format.ONNX)
    assert (reason is not None) == (later == PRUNE)
    assert why_not_after(known[DECOMPOSE], [known[PRUNE]], Format.ONNX) is None
    assert (why_not_after(known[DECOMPOSE], [known[STATIC]], Format.ONNX) or "").startswith("It starts from float")


def test_times_decide_unless_ranks_are_given():
    spec = catalogue()[DECOMPOSE]
    assert not is_repeatable(spec, {})
    assert is_repeatable(spec, {"ranks": ("conv=spatial:16",)})
    assert is_repeatable(spec, {"timed": False})


def test_losses_lie_on_lines_between_what_was_measured():
    assert points_lost(0.0) == 0.0
    assert points_lost(0.5) == pytest.approx((points_lost(0.4) + points_lost(0.6)) / 2)
    assert points_lost(0.99) == points_lost(0.95)
