"""Cuts so deep that they need a long training: offered where there are many examples and minutes, with a fallback."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.agents.contracts.criteria import Budget, Criteria, Objective
from apps.agents.contracts.state import CandidateRecord
from apps.agents.planning.agent import PlanningAgent
from apps.agents.planning.cuts import Lessons, trained_cuts
from apps.agents.planning.speed_goals import Pace
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.knowledge.technique import Cut
from tests.agents.inmemory import EXPORT, GRAPH, STATIC, World
from tests.agents.planning.test_cuts import PRUNE, RECOVER, program

MANY, EXAMPLES = 42_000, 60_000


def quick_program(latency_ms: float = 3.0) -> World:
    world = program()
    assert world.exported is not None
    return replace(world, latency_ms=latency_ms, exported=replace(world.exported, latency_ms=0.8 * latency_ms))


def plan_of(
    objective: Objective = Objective.BALANCED,
    minutes: float = 30.0,
    training: int = MANY,
    latency_ms: float = 3.0,
) -> list[CandidateRecord]:
    world = quick_program(latency_ms)
    assert world.exported is not None
    criteria = Criteria(objective=objective, budget=Budget(minutes=minutes), forbidden_techniques=("onnx-low-bits",))
    dataset = world.dataset.model_copy(update={"examples": EXAMPLES, "training_examples": training})
    plan = PlanningAgent().plan(world.analysis, criteria, dataset, exported=[world.exported.analysis])
    return list(plan.candidates)


def shares(candidates: list[CandidateRecord]) -> set[float]:
    return {one.steps[0].parameters["macs_removed"] for one in candidates if one.steps[0].technique == PRUNE}


@pytest.mark.parametrize("objective", [Objective.BALANCED, Objective.LATENCY, Objective.SIZE])
def test_with_many_pictures_and_half_an_hour_the_deep_cut_comes_first(objective: Objective):
    first = plan_of(objective)[0]
    quantized = [GRAPH, STATIC] if objective is not Objective.LATENCY else []  # So narrow, it is as fast in float.
    assert [link.technique for link in first.steps] == [PRUNE, RECOVER, EXPORT, *quantized]
    cut = first.steps[0].parameters
    assert (cut["macs_removed"], cut["kernel_side"]) == (0.98, 3)
    assert first.steps[1].parameters["minutes"] == 13.5
    assert first.predicted.speedup > 20
    assert first.predicted.size_ratio > 30
    assert first.predicted.metric_drop_points <= 1


def test_a_gentler_cut_with_a_shorter_training_is_the_fallback():
    deep, fallback = pruned_in_turn(plan_of())
    assert fallback.steps[0].parameters["macs_removed"] == 0.95
    assert fallback.steps[1].parameters["minutes"] == 6.0
    assert fallback.predicted.metric_drop_points < deep.predicted.metric_drop_points
    assert (deep.predicted.minutes or 0) + (fallback.predicted.minutes or 0) < 30


def pruned_in_turn(candidates: list[CandidateRecord]) -> list[CandidateRecord]:
    """Those that are not only exported."""
    return [one for one in candidates if one.steps[0].technique == PRUNE and one.technique != EXPORT]


def test_the_minutes_of_a_training_follow_from_the_budget():
    assert [one.steps[1].parameters["minutes"] for one in pruned_in_turn(plan_of(minutes=60))] == [27.0, 12.0]


def test_few_pictures_few_minutes_or_a_slow_model_keep_to_the_gentler_cuts():
    assert shares(plan_of(training=800)) == {0.7, 0.9}
    assert shares(plan_of(minutes=14)) == {0.7}
    assert shares(plan_of(latency_ms=30.0)) == {0.7, 0.9}


def test_a_long_training_has_to_pass_over_the_examples_often_enough():
    cut = Cut({}, removed=0.95, lost_points=1.0, examples=1000, passes=5.0, long=True)
    assert Lessons(30, 1000, 0.01).suffice(cut)
    assert not Lessons(30, 999, 0.01).suffice(cut)
    assert not Lessons(30, 1000, 0.5).suffice(cut)
    assert Lessons(30, 1000, 0.0).suffice(cut), "before the analysis, the time is not known"


@pytest.mark.parametrize(("speedup", "removed"), [(16.0, [0.9675]), (5.0, [0.83, 0.98])])
def test_what_is_asked_for_a_speed_is_not_tried_twice_at_nearly_the_same_depth(speedup: float, removed: list[float]):
    specs = {name: catalogue()[name] for name in (PRUNE, RECOVER)}
    pace = Pace(speedup, {"speedup_wanted": speedup})
    cuts = trained_cuts(specs, Lessons(30, MANY, 0.003), "torch-export", pace=pace)
    assert [one.cut.removed for one in cuts] == pytest.approx(removed)
    assert cuts[0].chain[0].parameters["speedup_wanted"] == speedup
    assert "until the limits on speed can be met" in cuts[0].reason
