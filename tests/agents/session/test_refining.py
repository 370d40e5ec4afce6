"""Refinement: what a session tries between and beside the values that its plan listed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.refinement import Refinement, RefineParameters
from apps.agents.contracts.state import Outcome, SessionState, StepKind, StepRecord
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.refined import refinements
from apps.agents.session.steps import Steps
from tests.agents.inmemory import PRUNE, STATIC, InMemoryPipeline, Run, Truth, World, resnet

INSTALLED = ("onnx", "onnxruntime", "optuna")
ONLY_PRUNING = PROFILES["fastest"].model_copy(
    update={"allowed_techniques": (PRUNE,), "budget": Budget(minutes=60, candidates=40)}
)
ENDS = 0.57
"""The share of the work from which on the made-up network loses more than the limit of one point."""


@dataclass(frozen=True)
class Prunable(World):
    """A network whose speed follows the work that is left, and that loses 0.2 points up to a share, and then much."""

    def truth(self, technique: str, parameters: Mapping[str, Any]) -> Truth:
        if technique != PRUNE:
            return super().truth(technique, parameters)
        removed = parameters["macs_removed"]
        left = 1 - removed * (1.0 if parameters["multiple_of"] == 16 else 0.7)
        return Truth(1 / left, 1 / left, 0.2 if removed <= ENDS else 0.2 + 40 * (removed - ENDS), 0.1)


def prunable(**changes: Any) -> Prunable:
    known = resnet(**changes)
    return Prunable(**{name: getattr(known, name) for name in known.__dataclass_fields__})


def run(world: World | None = None, criteria: Criteria = ONLY_PRUNING, libraries=INSTALLED, **more) -> Run:
    return InMemoryPipeline(world or prunable(), criteria, libraries=libraries, disabled=(), **more).run()


def refine_steps(state: SessionState) -> list[StepRecord]:
    return [step for step in state.steps if step.request.kind is StepKind.REFINE]


def test_a_session_finds_a_share_between_those_of_its_plan():
    plain, refined = run(libraries=INSTALLED[:-1]), run()

    best, before = (one.candidate(one.last.verdict.candidate) for one in (refined, plain))
    assert before.parameters["macs_removed"] == 0.5
    assert 0.55 < best.parameters["macs_removed"] < 0.6
    assert best.score > 1.1 * before.score
    assert re.fullmatch(r"c\d+v\d+", best.key)


def test_every_refinement_says_why():
    session = run()

    step = refine_steps(session.state)[0].request
    around = step.parameters["around"]["key"]
    assert session.events[f"refining/{step.key}"] == step.reason
    assert around == "c02"
    assert step.reason == (
        "Proposes further candidates like c02, with parameters between those that were measured. c02 misses only the "
        "limit on the metric and scores 2.50. What varies: macs removed from 0.5 to 0.6."
    )
    told = session.events[f"refined/{session.last.verdict.candidate}"]
    assert re.search(rf"Refines {around}: macs removed 0\.\d+ instead of 0\.6.* Proposed by a tree-structured", told)


def test_nothing_is_refined_where_no_worker_has_the_sampler_as_in_older_sessions():
    session = run(libraries=INSTALLED[:-1])

    assert refine_steps(session.state) == []
    assert session.last.verdict.outcome is Outcome.IMPROVED


def test_number_types_alone_are_not_refined_because_the_plan_lists_all_of_them():
    session = run(resnet(), PROFILES["fastest"].model_copy(update={"forbidden_techniques": (PRUNE,)}))

    assert session.candidate(session.last.verdict.candidate).technique == STATIC
    assert refine_steps(session.state) == []


@pytest.mark.parametrize("parallelism", [1, 16])
def test_the_same_state_gives_the_same_decision_and_the_same_steps_the_same_candidates(parallelism: int):
    session = run(parallelism=parallelism)

    for state, decision in zip(session.states, session.decisions, strict=True):
        read = SessionState.model_validate_json(state.model_dump_json())
        assert OptimizationManager().next(read) == decision
    assert run(parallelism=parallelism).state == session.state


def test_another_seed_proposes_something_else():
    first, second = (run(seed=seed) for seed in (0, 1))

    proposals = [refinements(Steps.of(one.state))[0].result for one in (first, second)]
    assert proposals[0] != proposals[1]


def test_refinements_are_bounded_and_end_when_a_round_gains_nothing():
    session = run()

    asked = [RefineParameters.model_validate(one.request.parameters) for one in refine_steps(session.state)]
    assert 1 <= len(asked) <= 3
    assert [one.best for one in asked] == sorted({one.best for one in asked})
    assert all(one.setting not in found.proposals for one, found in _with_results(session))


def _with_results(session: Run):
    for step in refine_steps(session.state):
        found = Refinement.model_validate(step.result)
        for one in RefineParameters.model_validate(step.request.parameters).observed:
            yield one, found


def test_a_round_waits_for_all_candidates_of_the_chain():
    session = run(parallelism=3)

    for state, decision in zip(session.states, session.decisions, strict=True):
        if any(request.kind is StepKind.REFINE for request in decision.requests):
            steps = Steps.of(state)
            running = [step for step in steps.by_key.values() if step.request.candidate and step.status == "running"]
            assert running == []
            assert not any(one.step.status == "running" for one in refinements(steps))


def test_the_budget_of_candidates_holds_for_refinements_too():
    criteria = ONLY_PRUNING.model_copy(update={"budget": Budget(minutes=60, candidates=5)})
    session = run(criteria=criteria)

    assert len(session.tried) <= 5


def test_a_refinement_that_fails_costs_nothing_else():
    session = run(prunable(failing={"refine/1": ("step.failed", "The sampler broke.")}))

    assert session.last.verdict.outcome is Outcome.IMPROVED
    assert len(refine_steps(session.state)) == 1
    assert session.events["failed/refine/1"] == "Nothing is refined any more: The sampler broke."


def test_one_that_misses_only_the_limit_on_the_metric_is_refined_too():
    """Every share of the plan loses too much, and a smaller one would not."""
    world = prunable()
    harsh = ONLY_PRUNING.model_copy(
        update={"constraints": ONLY_PRUNING.constraints.model_copy(update={"max_metric_drop_points": 0.15})}
    )
    session = run(world, harsh)

    assert session.last.verdict.outcome is Outcome.UNCHANGED
    assert [step.request.reason for step in refine_steps(session.state)]


def test_what_a_refinement_may_start_from_is_kept():
    """The export and the preparation before a cut are read again by every share that is proposed later."""
    criteria = PROFILES["fastest"].model_copy(update={"budget": Budget(minutes=60, candidates=60)})
    session = run(criteria=criteria)

    removed: set[str] = set()
    for state, decision in zip(session.states, session.decisions, strict=True):
        for request in decision.requests:
            assert not removed & set(request.parents.values()), request
        del state
        removed |= set(decision.unneeded)
    assert refine_steps(session.state)
