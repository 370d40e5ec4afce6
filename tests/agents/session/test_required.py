"""Required techniques are measured although no gain is predicted, and the report says what became of them."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget, Constraints, Criteria
from apps.agents.contracts.state import CandidateStatus, Plan, StepKind
from apps.agents.planning.agent import PlanningAgent
from apps.agents.session.required import Tried, what_became_of
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import (
    BLOCKS,
    DATASET,
    DYNAMIC,
    EXPORT,
    FLOAT16,
    GPTQ,
    HALF,
    PRUNE,
    STATIC,
    InMemoryPipeline,
    Run,
    World,
    minilm,
    resnet,
)
from tests.agents.torch_worlds import torch_encoder

FASTEST = PROFILES["fastest"]
FAST_ENOUGH = FASTEST.model_copy(update={"constraints": Constraints()})


def requiring(*techniques: str, base: Criteria = FAST_ENOUGH, **changes: object) -> Criteria:
    return base.model_copy(update={"required_techniques": techniques, **changes})


def run(world: World, criteria: Criteria, **more) -> Run:
    return InMemoryPipeline(world, criteria, **more).run()


def measured(session: Run) -> set[str]:
    """The techniques of all candidates that were evaluated."""
    keys = {step.request.candidate for step in session.state.steps if step.request.kind is StepKind.EVALUATE}
    return {link.technique for one in session.last.candidates if one.key in keys for link in one.steps}


def plan_of(world: World, criteria: Criteria) -> Plan:
    return PlanningAgent().plan(world.analysis, criteria, DATASET)


def test_a_technique_without_a_predicted_gain_is_planned_only_if_required():
    assert not any(one.applies(FLOAT16) for one in plan_of(resnet(), FAST_ENOUGH).candidates)
    planned = [one for one in plan_of(resnet(), requiring(FLOAT16)).candidates if one.applies(FLOAT16)]
    assert len(planned) == 1, "one is enough"
    assert "the criteria require it" in planned[0].reason


def test_it_is_measured_although_better_ones_are_known():
    assert FLOAT16 not in measured(run(resnet(), FAST_ENOUGH))
    assert FLOAT16 in measured(run(resnet(), requiring(FLOAT16)))


def test_required_ones_are_tried_before_the_budget_is_spent():
    session = run(minilm(), requiring(FLOAT16, BLOCKS, budget=Budget(candidates=2)))
    assert {FLOAT16, BLOCKS} <= measured(session)
    assert DYNAMIC not in measured(session)


def test_what_is_tried_last_comes_first_if_it_is_required():
    session = run(resnet(), requiring(PRUNE, budget=Budget(candidates=1)), disabled=())
    assert PRUNE in measured(session)


def test_if_its_candidate_fails_another_one_is_tried():
    first = next(one for one in plan_of(resnet(), requiring(STATIC)).candidates if one.technique == STATIC)
    world = resnet(failing={f"{first.key}/optimize": ("technique.failed", "It crashed.")})
    session = run(world, requiring(STATIC, budget=Budget(candidates=2)))
    assert session.candidate(first.key).status is CandidateStatus.FAILED
    assert STATIC in measured(session)


def test_a_predicted_break_of_a_limit_is_a_firm_obstacle():
    criteria = requiring(FLOAT16, base=FASTEST, constraints=Constraints(min_size_reduction=3.0))
    plan = plan_of(resnet(), criteria)
    assert not any(one.applies(FLOAT16) for one in plan.candidates)
    told = what_became_of(criteria, plan, (), catalogue())
    assert not told[0].measured
    assert "at least 3 times is required" in told[0].sentence


def test_a_technique_behind_an_export_is_required_too():
    world = torch_encoder()
    session = run(world, requiring(FLOAT16, HALF))
    assert {EXPORT, FLOAT16, HALF} <= measured(session)


@pytest.mark.parametrize("world", [resnet(), minilm()])
def test_the_same_state_gives_the_same_decision(world: World):
    criteria = requiring(FLOAT16, BLOCKS)
    one, other = run(world, criteria, seed=1), run(world, criteria, seed=1)
    assert one.decisions == other.decisions


def tried(key: str, status: CandidateStatus, *, was_measured: bool = True, reason: str = "It lost 3 points.") -> Tried:
    return Tried(key, frozenset({FLOAT16}), was_measured, status, reason)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([tried("c01", CandidateStatus.SELECTED)], "Measured in c01; c01 is the session's result."),
        (
            [tried("c01", CandidateStatus.REJECTED), tried("c02", CandidateStatus.ACCEPTED)],
            "Measured in c01 and c02; c02 holds the limits, but is not the result.",
        ),
        ([tried("c01", CandidateStatus.REJECTED)], "Measured in c01. c01: It lost 3 points."),
        (
            [tried("c01", CandidateStatus.FAILED, was_measured=False, reason="It crashed.")],
            "Not measured. c01: It crashed.",
        ),
        ([], "Not measured. The plan has no candidate with it."),
    ],
)
def test_the_report_says_what_became_of_it(found: list[Tried], sentence: str):
    plan = Plan(summary="", candidates=(), omitted=())
    (told,) = what_became_of(requiring(FLOAT16), plan, found, catalogue())
    assert (told.sentence, told.measured) == (sentence, bool(found) and found[0].measured)
    assert told.label == catalogue()[FLOAT16].label


def test_a_technique_of_another_framework_has_its_frameworks_reason():
    criteria = requiring(GPTQ)
    (told,) = what_became_of(criteria, plan_of(resnet(), criteria), (), catalogue())
    assert "but this model's format is ONNX" in told.sentence


def test_criteria_from_before_require_nothing():
    body = Criteria().model_dump(mode="json")
    del body["required_techniques"]
    assert Criteria.model_validate(body).required_techniques == ()
    assert what_became_of(Criteria(), None, (), catalogue()) == ()
