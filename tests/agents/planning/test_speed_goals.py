"""Plans whose criteria limit the speed: a cut is asked for what the technique after it does not gain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.agents.contracts.criteria import Budget, Constraints, Criteria, Objective
from apps.agents.contracts.state import CandidateRecord
from apps.agents.planning.agent import PlanningAgent
from apps.agents.planning.speed_goals import MARGIN, pace_of
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.knowledge.profile import Lead, profile_of_analysis
from tests.agents.inmemory import DATASET, EXPORT, GRAPH, PRUNE, STATIC, InMemoryPipeline, World, resnet
from tests.agents.planning.test_cuts import PRUNE as TORCH_PRUNE
from tests.agents.planning.test_cuts import RECOVER, program, within

WANTED, LATENCY = "speedup_wanted", "latency_ms"


def asking(**limits: float) -> Criteria:
    constraints = Constraints(max_metric_drop_points=5.0, **limits)
    return Criteria(objective=Objective.LATENCY, constraints=constraints, budget=Budget(minutes=30))


def paced(world: World, criteria: Criteria, training: int = 0) -> list[CandidateRecord]:
    """The candidates whose first cut is asked for a speed."""
    dataset = DATASET.model_copy(update={"training_examples": training})
    exported = [world.exported.analysis] if world.exported else []
    plan = PlanningAgent().plan(world.analysis, criteria, dataset, exported=exported)
    planned = [one for one in plan.candidates if one.technique != EXPORT]
    return [one for one in planned if any(one.steps[0].parameters.get(name) for name in (WANTED, LATENCY))]


def pace(criteria: Criteria, later: float = 1.0, lead: float = 1.0, technique: str = PRUNE):
    profile = replace(profile_of_analysis(resnet().analysis), latency_ms=10.0, lead=Lead(lead, 1.0))
    return pace_of(catalogue()[technique], criteria, profile, later)


def test_a_limit_on_speed_is_asked_for_with_a_margin():
    found = pace(asking(min_speedup=4.0))
    assert found is not None
    assert found.parameters == {WANTED: 4.4}
    assert found.speedup == pytest.approx(4.4)


def test_what_follows_and_another_runtime_take_their_part():
    assert pace(asking(min_speedup=8.0), later=4.0).parameters == {WANTED: 2.2}
    assert pace(asking(min_speedup=8.0), later=2.0, lead=2.0).parameters == {WANTED: 2.2}
    assert pace(asking(min_speedup=4.0), later=5.0) is None


def test_a_limit_in_milliseconds_is_asked_for_before_what_follows_makes_it_faster():
    found = pace(asking(max_latency_ms=1.0), later=4.0)
    assert found.parameters == {LATENCY: pytest.approx(4 / MARGIN, rel=0.01)}
    assert found.speedup == pytest.approx(2.5 * MARGIN)
    both = pace(asking(max_latency_ms=5.0, min_speedup=4.0))
    assert set(both.parameters) == {WANTED, LATENCY}
    assert both.speedup == pytest.approx(4.4)


def test_what_cannot_be_asked_is_not():
    assert pace(asking()) is None
    assert pace(asking(min_speedup=200.0)) is None
    assert pace(asking(min_speedup=4.0), technique="keras-prune") is None
    unknown = replace(profile_of_analysis(resnet().analysis), latency_ms=None)
    assert pace_of(catalogue()[PRUNE], asking(max_latency_ms=1.0), unknown) is None


def test_an_onnx_network_is_cut_until_cut_and_eight_bits_together_are_fast_enough():
    (both,) = (one for one in paced(resnet(), asking(min_speedup=8.0)) if len(one.steps) > 1)
    assert [link.technique for link in both.steps] == [PRUNE, GRAPH, STATIC]
    assert 2 < both.steps[0].parameters[WANTED] < 8 * MARGIN / 3
    assert both.predicted.speedup == pytest.approx(8 * MARGIN, rel=0.03)
    assert "limits on speed" in both.reason


def test_where_a_cut_alone_can_do_it_it_is_asked_alone():
    (alone,) = paced(resnet(), asking(min_speedup=2.0))
    assert [link.technique for link in alone.steps] == [PRUNE]
    assert alone.steps[0].parameters[WANTED] == 2.2


def test_where_the_gentlest_share_is_fast_enough_nothing_is_timed():
    assert not paced(resnet(), asking(min_speedup=1.1))
    assert not paced(resnet(), asking())


def test_a_program_that_is_trained_again_is_asked_for_the_rest_of_the_speed():
    world, criteria = program(), within(30).model_copy(update={"constraints": Constraints(min_speedup=12.0)})
    (found,) = paced(world, criteria, training=800)
    assert [link.technique for link in found.steps] == [TORCH_PRUNE, RECOVER, EXPORT, GRAPH, STATIC]
    assert 1.5 < found.steps[0].parameters[WANTED] < 12
    assert found.predicted.speedup >= 12
    latency = Constraints(max_latency_ms=world.latency_ms / 12)
    (timed,) = paced(world, criteria.model_copy(update={"constraints": latency}), training=800)
    assert timed.steps[0].parameters[LATENCY] > latency.max_latency_ms
    assert timed.predicted.speedup == pytest.approx(found.predicted.speedup, rel=0.02)


def test_a_session_tries_what_was_asked_for():
    session = InMemoryPipeline(resnet(), asking(min_speedup=8.0), disabled=()).run()
    assert any((step.request.parameters or {}).get(WANTED) for step in session.state.steps)
