"""Which intermediate results go while a session runs: none that is read again, and all that only led somewhere."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES
from apps.agents.contracts.state import Decision, SessionState, Status, StepKind
from apps.agents.session.manager import OptimizationManager
from tests.agents.inmemory import STATIC, InMemoryPipeline, Run, World, resnet
from tests.agents.session.keys import EXPORTED, EXPORTED_AND_PREPARED, PREPARED
from tests.agents.torch_worlds import torch_encoder

BALANCED = PROFILES["balanced"]
REPAIRED = resnet(fragile_operators={"Add": 4.0})


def run(world: World, **more: Any) -> Run:
    return InMemoryPipeline(world, BALANCED, **more).run()


def let_go(session: Run) -> list[tuple[SessionState, Decision]]:
    """The decisions that let something go."""
    pairs = zip(session.states, session.decisions, strict=True)
    return [(state, decision) for state, decision in pairs if decision.unneeded]


@pytest.mark.parametrize("parallelism", [1, 3])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("world", [resnet(), REPAIRED, torch_encoder()])
def test_what_was_let_go_is_never_read_again(world: World, seed: int, parallelism: int):
    session = run(world, parallelism=parallelism, seed=seed)

    gone: set[str] = set()
    for decision in session.decisions:
        gone |= set(decision.unneeded)
        read = {key for request in decision.requests for key in request.parents.values()}
        assert not gone & read
    assert gone


@pytest.mark.parametrize("world", [resnet(), REPAIRED, torch_encoder()])
def test_what_a_candidate_is_stays_whatever_became_of_it(world: World):
    session = run(world)

    measured = {step.request.parent for step in session.state.steps if step.request.kind is StepKind.EVALUATE}
    assert measured
    assert not any(measured & set(decision.unneeded) for decision in session.decisions)


def test_every_link_that_is_no_candidate_is_let_go_in_the_end():
    session = run(torch_encoder())

    measured = {step.request.parent for step in session.state.steps if step.request.kind is StepKind.EVALUATE}
    links = {step.request.key for step in session.state.steps if step.request.kind is StepKind.OPTIMIZE}
    assert set(session.last.unneeded) == links - measured
    assert {EXPORTED, EXPORTED_AND_PREPARED} & links


def test_an_intermediate_result_stays_while_a_candidate_is_still_to_start_from_it():
    session = run(resnet())

    waiting = [
        decision
        for state, decision in zip(session.states, session.decisions, strict=True)
        if any(step.request.key == PREPARED and step.status is Status.COMPLETED for step in state.steps)
        and any(one.parents.get("model") == PREPARED for one in decision.requests)
    ]
    assert waiting
    assert not any(PREPARED in decision.unneeded for decision in waiting)


def test_an_intermediate_result_stays_while_a_repair_may_follow():
    session = run(REPAIRED)

    repairs = [step.request for step in session.state.steps if step.request.technique == STATIC]
    assert len(repairs) > 1
    first = next(number for number, decision in enumerate(session.decisions) if PREPARED in decision.unneeded)
    asked = [
        number
        for number, decision in enumerate(session.decisions)
        if any(request.parent == PREPARED for request in decision.requests)
    ]
    assert max(asked) < first


def test_it_goes_before_the_session_ends():
    """The finalists are judged and packed without it."""
    session = run(torch_encoder())

    _, decision = let_go(session)[0]
    assert decision.verdict is None


def test_a_session_that_fails_keeps_everything_for_being_resumed():
    session = run(torch_encoder())
    state, _ = let_go(session)[0]
    package = next(step for step in session.state.steps if step.request.kind is StepKind.PACKAGE)
    lost = package.model_copy(
        update={"status": Status.FAILED, "fault": "infrastructure", "error_code": "store.missing", "error": "Gone."}
    )

    decision = OptimizationManager().next(state.model_copy(update={"steps": (*state.steps, lost)}))

    assert decision.failure == ("store.missing", "Gone.")
    assert decision.unneeded == ()


def test_nothing_goes_before_there_is_a_plan():
    session = run(torch_encoder())
    for state, decision in zip(session.states, session.decisions, strict=True):
        if not any(step.request.kind is StepKind.PLAN and step.result for step in state.steps):
            assert decision.unneeded == ()
