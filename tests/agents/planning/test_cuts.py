"""Pruned and recovered candidates in the plan: when there are any, and what comes behind the cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import CandidateRecord, Plan
from apps.agents.planning.agent import PlanningAgent, plan_preview
from tests.agents.inmemory import EXPORT, GRAPH, STATIC, World, resnet
from tests.agents.torch_worlds import torch_encoder

PRUNE, RECOVER, DISTILL, DISTILL_LAYERS = "torch-prune", "torch-recover", "torch-distill", "torch-distill-layers"
DISTILL_WIDTH, STUDENT, SEARCH = "torch-distill-width", "torch-distill-student", "torch-search"
TRAINED = (PRUNE, DISTILL, DISTILL_LAYERS)
FASTEST = PROFILES["fastest"]


def program() -> World:
    """A residual network as an exported program, and what it is as ONNX."""
    exported = resnet()
    layers = tuple(
        layer.model_copy(update={"op_type": {"Conv": "Conv2d", "Gemm": "Linear"}.get(layer.op_type, layer.op_type)})
        for layer in exported.layers
    )
    return replace(exported, format="torch-export", layers=layers, exported=exported)


def plan_of(
    world: World, criteria: Criteria = FASTEST, training: int = 800, student: ModelSummary | None = None
) -> Plan:
    dataset = world.dataset.model_copy(update={"training_examples": training})
    exported = [world.exported.analysis] if world.exported else []
    return PlanningAgent().plan(world.analysis, criteria, dataset, exported=exported, student=student)


def within(minutes: float) -> Criteria:
    return FASTEST.model_copy(update={"budget": Budget(minutes=minutes, candidates=6)})


def pruned(plan: Plan) -> list[CandidateRecord]:
    """Those that are not only exported."""
    return [one for one in plan.candidates if one.steps[0].technique == PRUNE and one.technique != EXPORT]


def test_a_cut_is_trained_again_and_then_exported_and_quantized():
    found = pruned(plan_of(program(), within(30)))
    assert [[link.technique for link in one.steps] for one in found] == [[PRUNE, RECOVER, EXPORT, GRAPH, STATIC]] * 2
    assert {one.steps[0].parameters["macs_removed"] for one in found} == {0.7, 0.9}
    assert all(one.predicted.speedup > 5 for one in found)


def test_each_cut_is_also_exported_without_quantization():
    plan = plan_of(program(), within(30))
    floats = [one for one in plan.candidates if one.steps[0].technique == PRUNE and one.technique == EXPORT]
    assert [[link.technique for link in one.steps] for one in floats] == [[PRUNE, RECOVER, EXPORT]] * 2
    for one in floats:
        (narrow,) = (other for other in pruned(plan) if other.steps[:3] == one.steps)
        assert one.predicted.speedup < narrow.predicted.speedup
        assert one.predicted.metric_drop_points < narrow.predicted.metric_drop_points


def test_training_takes_its_share_of_the_sessions_minutes():
    assert [one.steps[1].parameters["minutes"] for one in pruned(plan_of(program(), within(30)))] == [6.0, 6.0]
    assert [one.steps[1].parameters["minutes"] for one in pruned(plan_of(program(), within(5)))] == [1.0]


def test_training_takes_all_cores_of_its_worker():
    assert {one.steps[1].parameters["threads"] for one in pruned(plan_of(program(), within(30)))} == {0}
    assert not pruned(plan_of(program(), within(3)))


def test_without_examples_to_train_on_the_plan_is_what_it_was():
    world = program()
    without = plan_of(world, within(30), training=0)
    assert not pruned(without)
    others = [one for one in plan_of(world, within(30)).candidates if one.steps[0].technique not in TRAINED]
    assert [(one.steps, one.predicted) for one in others] == [(one.steps, one.predicted) for one in without.candidates]
    reason = next(one.reason for one in without.omitted if one.technique == RECOVER)
    assert "training_share" in reason


@pytest.mark.parametrize("missing", [PRUNE, RECOVER])
def test_criteria_that_forbid_one_of_the_two_get_neither(missing: str):
    allowed = tuple(name for name in (PRUNE, RECOVER, EXPORT, STATIC) if name != missing)
    assert not pruned(plan_of(program(), within(30).model_copy(update={"allowed_techniques": allowed})))


def test_before_anything_ran_the_cut_stands_by_itself():
    world = program()
    dataset = world.dataset.model_copy(update={"training_examples": 800})
    found = pruned(plan_preview(world.model, dataset, within(30)))
    assert [[link.technique for link in one.steps] for one in found] == [[PRUNE, RECOVER]] * 2


def distilled(plan: Plan, technique: str = DISTILL) -> list[CandidateRecord]:
    return [one for one in plan.candidates if one.steps[0].technique == technique and one.technique != EXPORT]


def test_a_student_learns_and_is_then_exported_and_quantized():
    (found,) = distilled(plan_of(program(), within(30)))
    assert [link.technique for link in found.steps] == [DISTILL, EXPORT, GRAPH, STATIC]
    assert found.steps[0].parameters["student_parameters"] == 0.25
    assert found.steps[0].parameters["minutes"] == 6.0
    assert found.predicted.minutes is not None
    assert found.predicted.minutes > 6
    assert "A student with 25% of the work learns for 6 minutes." in found.reason


def test_a_short_session_trains_once_and_a_student_only_if_nothing_can_be_pruned():
    assert not distilled(plan_of(program(), within(5)))
    allowed = (DISTILL, EXPORT, STATIC)
    alone = plan_of(program(), within(5).model_copy(update={"allowed_techniques": allowed}))
    assert [one.steps[0].parameters["minutes"] for one in distilled(alone)] == [1.0]
    assert not distilled(plan_of(program(), within(30), training=0))


def test_a_transformers_folder_gets_a_student_of_half_its_layers():
    world = torch_encoder()
    (found,) = distilled(plan_of(world, within(30)), DISTILL_LAYERS)
    assert found.steps[0].parameters["student_layers"] == 0.5
    assert [link.technique for link in found.steps][:2] == [DISTILL_LAYERS, EXPORT]


def test_a_narrower_student_is_tried_instead_only_if_the_criteria_name_it():
    plan = plan_of(torch_encoder(), within(30))
    assert not distilled(plan, DISTILL_WIDTH)
    assert "fewer layers" in next(one.reason for one in plan.omitted if one.technique == DISTILL_WIDTH)
    asked = within(30).model_copy(update={"allowed_techniques": (DISTILL_LAYERS, DISTILL_WIDTH)})
    (found,) = distilled(plan_of(torch_encoder(), asked), DISTILL_WIDTH)
    assert (found.steps[0].parameters["student_width"], found.steps[0].parameters["minutes"]) == (0.5, 6.0)


def test_a_student_of_the_session_learns_first_and_is_then_exported_and_quantized():
    world = program()
    student = world.model.model_copy(update={"parameters": world.model.parameters // 4})
    plan = plan_of(world, within(30), student=student)
    (found,) = distilled(plan, STUDENT)
    assert [link.technique for link in found.steps] == [STUDENT, EXPORT, GRAPH, STATIC]
    assert set(found.steps[0].inputs) == {"teacher", "student"}
    assert "A student with 25% of the work learns for 6 minutes." in found.reason
    assert pruned(plan)
    short = plan_of(world, within(5), student=student)
    assert [one.steps[0].parameters["minutes"] for one in distilled(short, STUDENT)] == [1.0]
    assert not pruned(short)


def test_a_student_is_tried_whatever_its_size_promises():
    world = program()
    alone = within(2).model_copy(update={"allowed_techniques": (STUDENT,)})
    assert len(distilled(plan_of(world, alone, student=world.model), STUDENT)) == 1
    omitted = {one.technique: one.reason for one in plan_of(world, alone, training=0, student=world.model).omitted}
    assert "training_share" in omitted[STUDENT]


def test_without_a_student_the_plan_says_so():
    plan = plan_of(program(), within(30))
    assert not distilled(plan, STUDENT)
    assert "session's student" in next(one.reason for one in plan.omitted if one.technique == STUDENT)


def test_models_of_other_formats_are_not_cut():
    for world in (resnet(), replace(program(), format="torchscript"), replace(program(), format="transformers")):
        assert not pruned(plan_of(world, within(30)))


def searched(plan: Plan) -> list[CandidateRecord]:
    return [one for one in plan.candidates if one.steps[0].technique == SEARCH and one.technique != EXPORT]


def test_a_long_session_searches_trains_and_then_exports_and_quantizes():
    found, second = searched(plan_of(program(), within(60), training=20_000))
    assert [link.technique for link in found.steps] == [SEARCH, RECOVER, EXPORT, GRAPH, STATIC]
    assert found.steps[0].parameters["minutes"] == 15.0
    assert found.steps[1].parameters["minutes"] == 12.0
    assert "is searched for in 15 minutes, then trained for 12." in found.reason
    assert found.predicted.minutes is not None
    assert found.predicted.minutes > 27
    assert [link.technique for link in second.steps] == [link.technique for link in found.steps]
    assert [one.steps[0].parameters["place"] for one in (found, second)] == [1, 2]
    assert "Number 2 of the networks that the same search finds is trained for 12 minutes." in second.reason
    assert "number 2 of the best" in second.title


def test_a_search_needs_time_and_examples():
    assert not searched(plan_of(program(), within(30), training=20_000))
    assert not searched(plan_of(program(), within(60), training=800))
