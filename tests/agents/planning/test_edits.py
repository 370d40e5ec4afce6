"""A member edits a plan: candidates removed, pinned, added and changed, and layers that stay in float."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.plan_edits import EditKind, NamedLink, ParameterChange, PlanEdits, name_of
from apps.agents.contracts.reports.analysis import Compatibility
from apps.agents.contracts.state import CandidateRecord, EditOutcome, Plan
from apps.agents.planning.agent import PlanningAgent, plan_preview
from apps.agents.planning.availability import Sorting
from apps.agents.planning.bases import bases_of_model
from apps.agents.planning.drafts import Drafts
from apps.agents.planning.edit_checks import WrongEdit, wrong_edits
from apps.agents.planning.minutes import Minutes
from tests.agents.inmemory import (
    BLOCKS,
    DATASET,
    DECOMPOSE,
    DYNAMIC,
    EXPORT,
    FLOAT16,
    GRAPH,
    HALF,
    PRUNE,
    STATIC,
    InMemoryPipeline,
    World,
    minilm,
    resnet,
)
from tests.agents.torch_worlds import torch_encoder

FASTEST, SMALLEST = PROFILES["fastest"], PROFILES["smallest"]
Name = tuple[NamedLink, ...]


def named(*links: str | tuple[str, dict[str, Any]]) -> Name:
    pairs = [(link, {}) if isinstance(link, str) else link for link in links]
    return tuple(NamedLink(technique=technique, parameters=parameters) for technique, parameters in pairs)


def plan_of(world: World, edits: PlanEdits, criteria: Criteria = FASTEST, **known: Any) -> Plan:
    return PlanningAgent().plan(world.analysis, criteria, DATASET, edits=edits, **known)


def of(plan: Plan, *techniques: str) -> list[CandidateRecord]:
    """The candidates that are these techniques and nothing more, apart from preparations."""
    return [one for one in plan.candidates if tuple(link.technique for link in name_of(one.steps)) == techniques]


def outcome(plan: Plan, kind: EditKind) -> EditOutcome:
    (found,) = (one for one in plan.edits if one.kind is kind)
    return found


# --- what edits do to a plan ------------------------------------------------------------------------------------------


def test_without_edits_the_plan_is_the_planners_own():
    assert plan_of(resnet(), PlanEdits()) == PlanningAgent().plan(resnet().analysis, FASTEST, DATASET)


def test_a_removed_candidate_is_left_out_and_the_plan_says_who_wanted_that():
    first = plan_of(resnet(), PlanEdits()).candidates[0]
    plan = plan_of(resnet(), PlanEdits(removed=(name_of(first.steps),)))
    assert first.steps not in [one.steps for one in plan.candidates]
    assert [one.key for one in plan.candidates] == [f"c{n:02d}" for n in range(1, len(plan.candidates) + 1)]
    assert any("A member removed it" in one.reason and one.title == first.title for one in plan.omitted)
    assert outcome(plan, EditKind.REMOVED).applied


def test_a_name_without_parameters_means_every_candidate_of_the_technique():
    plan = plan_of(resnet(), PlanEdits(removed=(named(STATIC),)))
    assert not of(plan, STATIC)
    assert of(plan, PRUNE, STATIC)


def test_pinned_candidates_come_first_in_the_given_order():
    own = plan_of(resnet(), PlanEdits())
    last, graph = of(own, STATIC)[-1], of(own, GRAPH)[0]
    plan = plan_of(resnet(), PlanEdits(pinned=(name_of(graph.steps), name_of(last.steps))))
    assert [one.steps for one in plan.candidates[:2]] == [graph.steps, last.steps]
    assert "A member pinned it, so it is tried first." in plan.candidates[0].reason
    assert "as number 2" in plan.candidates[1].reason
    assert plan.candidates[0].wanted
    assert len(plan.candidates) == len(own.candidates)
    assert plan.summary != own.summary


def test_a_pinned_candidate_that_the_plan_leaves_out_is_made():
    name = named((DYNAMIC, {"weight_type": "int8"}))
    assert not of(plan_of(resnet(), PlanEdits()), DYNAMIC)
    plan = plan_of(resnet(), PlanEdits(pinned=(name,)))
    assert plan.candidates[0].parameters["weight_type"] == "int8"
    assert "The plan would leave it out." in plan.candidates[0].reason


def test_an_added_chain_follows_what_is_pinned_and_starts_like_planned_candidates():
    chain = named(PRUNE, (BLOCKS, {"bits": 8}))
    plan = plan_of(minilm(), PlanEdits(added=(chain,), pinned=(named(GRAPH),)))
    added = plan.candidates[1]
    assert [link.technique for link in added.steps] == [PRUNE, GRAPH, BLOCKS]
    assert added.steps[1].optional
    assert (added.parameters["bits"], added.asked.kinds) == (8, (EditKind.ADDED,))
    assert added.predicted.speedup > 0
    assert added.predicted.minutes
    assert "A member added it." in added.reason
    assert outcome(plan, EditKind.ADDED).candidates == ("c02",)


def test_an_added_chain_that_the_plan_has_is_only_marked():
    first = plan_of(resnet(), PlanEdits()).candidates[0]
    plan = plan_of(resnet(), PlanEdits(added=(name_of(first.steps),)))
    assert [one.steps for one in plan.candidates].count(first.steps) == 1
    assert plan.candidates[0].asked.kinds == (EditKind.ADDED,)


def test_an_added_chain_for_which_the_model_turns_out_not_to_fit_is_told():
    reason = "No channels of it can be cut: it has only one layer."
    analysis = resnet().analysis.model_copy(
        update={"compatibility": (Compatibility(technique=PRUNE, compatible=False, reason=reason),)}
    )
    edits = PlanEdits(added=(named(PRUNE, STATIC),))
    plan = PlanningAgent().plan(analysis, FASTEST, DATASET, edits=edits)
    told = outcome(plan, EditKind.ADDED)
    assert (told.applied, reason in told.reason) == (False, True)
    assert not of(plan, PRUNE, STATIC)


def test_parameters_set_by_hand_change_title_and_prediction():
    own = of(plan_of(minilm(), PlanEdits(), SMALLEST), BLOCKS)[0]
    change = ParameterChange(candidate=name_of(own.steps), parameters={BLOCKS: {"bits": 8, "embeddings": False}})
    plan = plan_of(minilm(), PlanEdits(changed=(change,)), SMALLEST)
    (changed,) = (one for one in plan.candidates if one.asked)
    assert (changed.parameters["bits"], own.parameters["bits"]) == (8, 4)
    assert changed.predicted.size_ratio < own.predicted.size_ratio
    assert changed.asked.name == name_of(own.steps)
    assert "A member set bits to 8 and embeddings to false." in changed.reason
    assert not changed.wanted
    assert outcome(plan, EditKind.CHANGED).candidates == (changed.key,)


def test_kept_layers_stay_in_float_in_every_candidate_that_narrows_them():
    world = resnet()
    layer = world.layers[0].name
    plan = plan_of(world, PlanEdits(kept_layers=(layer,), added=(named(FLOAT16),)))
    narrowing = [one for one in plan.candidates if one.technique not in (GRAPH, PRUNE, DECOMPOSE)]
    assert narrowing
    assert all(layer in one.parameters["keep_float_nodes"] for one in narrowing)
    assert all(f"{layer} in float" in one.title for one in narrowing)
    told = outcome(plan, EditKind.KEPT_LAYERS)
    assert (told.applied, set(told.candidates)) == (True, {one.key for one in narrowing})


def test_layers_that_no_form_of_the_model_has_are_told_with_similar_names():
    world = resnet()
    near = f"{world.layers[0].name}x"
    plan = plan_of(world, PlanEdits(kept_layers=(near,)))
    told = outcome(plan, EditKind.KEPT_LAYERS)
    assert (told.applied, world.layers[0].name in told.reason) == (False, True)


def test_candidates_of_another_form_say_that_its_layers_have_other_names():
    world = torch_encoder()
    edits = PlanEdits(kept_layers=(world.layers[1].name,))
    plan = plan_of(world, edits, exported=[world.exported.analysis])
    (elsewhere,) = (one for one in plan.edits if not one.applied)
    techniques = {one.technique for one in plan.candidates if one.key in elsewhere.candidates}
    assert DYNAMIC in techniques
    assert all(one.startswith("onnx-") for one in techniques)
    assert "names" in elsewhere.reason


def test_a_technique_that_cannot_keep_single_layers_is_left_out():
    world = torch_encoder()
    edits = PlanEdits(kept_layers=(world.layers[0].name,), added=(named(HALF),))
    plan = plan_of(world, edits, SMALLEST)
    assert not of(plan, HALF)
    assert any("cannot leave single layers in float" in one.reason for one in plan.omitted)
    assert all("cannot leave" not in one.reason for one in plan.omitted if one.technique == EXPORT)


def test_a_chain_for_another_runtime_starts_from_the_export():
    world = torch_encoder()
    edits = PlanEdits(added=(named((DYNAMIC, {"per_channel": False})),))
    plan = plan_of(world, edits, exported=[world.exported.analysis])
    steps = [link.technique for link in plan.candidates[0].steps]
    assert (steps[0], steps[-1]) == (EXPORT, DYNAMIC)
    failed = plan_of(world, edits, export_failures={"onnx": "The export failed for an unknown operator."})
    assert "unknown operator" in outcome(failed, EditKind.ADDED).reason


def test_names_mean_the_same_in_the_preview_and_in_the_plan():
    world = resnet(sensitivity={"Conv": 24.0, "Add": 3.0})
    preview = plan_preview(world.model, DATASET, FASTEST)
    name = name_of(of(preview, STATIC)[0].steps)
    assert dict(name[0].parameters)["keep_float_operators"] == []
    plan = plan_of(world, PlanEdits(pinned=(name,)))
    assert plan.candidates[0].parameters["keep_float_operators"] == ["Add"]
    assert plan.candidates[0].asked.kinds == (EditKind.PINNED,)


def test_what_a_member_asks_for_beyond_the_budget_is_told():
    criteria = FASTEST.model_copy(update={"budget": Budget(candidates=1)})
    plan = plan_of(resnet(), PlanEdits(pinned=(named(GRAPH), named(FLOAT16))), criteria)
    assert "The budget of 1 may be spent" in plan.candidates[1].reason


def test_edits_survive_their_storage_and_old_plans_are_read():
    edits = PlanEdits(added=(named(PRUNE),), kept_layers=("a",))
    assert PlanEdits.model_validate(edits.model_dump(mode="json")) == edits
    plan = plan_of(resnet(), PlanEdits(pinned=(named(GRAPH),))).model_dump(mode="json")
    assert Plan.model_validate(plan).candidates[0].wanted
    for one in plan["candidates"]:
        del one["asked"]
    del plan["edits"]
    assert not Plan.model_validate(plan).candidates[0].wanted


# --- the search -------------------------------------------------------------------------------------------------------


def test_pinned_and_added_candidates_are_tried_first_whatever_is_predicted():
    edits = PlanEdits(pinned=(named(FLOAT16),), added=(named((DYNAMIC, {"weight_type": "int8"})),))
    done = InMemoryPipeline(resnet(), FASTEST, edits=edits).run()
    assert [(one.candidate, one.technique) for one in done.tried[:2]] == [("c01", FLOAT16), ("c02", DYNAMIC)]
    assert "A member pinned it" in done.events["planned/c01"]
    assert done.events["edited/1"].endswith("(c02): A member added it.")


def test_what_a_member_asks_for_counts_against_the_budget():
    criteria = FASTEST.model_copy(update={"budget": Budget(candidates=1)})
    edits = PlanEdits(pinned=(named(FLOAT16), named(GRAPH)))
    done = InMemoryPipeline(resnet(), criteria, edits=edits).run()
    assert [one.technique for one in done.tried] == [FLOAT16]


# --- what is refused before the start ---------------------------------------------------------------------------------


def drafts(world: World, criteria: Criteria = FASTEST, **known: Any) -> Drafts:
    sorting = Sorting(bases_of_model(world.model, DATASET.task), criteria, DATASET, **known)
    return PlanningAgent().drafts(sorting, Minutes(criteria, DATASET))


def wrong(edits: PlanEdits, layers: list[str] | None = None, **known: Any) -> list[WrongEdit]:
    return wrong_edits(edits, drafts(resnet(), **known), layers)


@pytest.mark.parametrize(
    ("edits", "field", "code", "words"),
    [
        (PlanEdits(added=(named("onnx-static"),)), "added.0.0.technique", "technique_unknown", "onnx-static-int8"),
        (
            PlanEdits(pinned=(named((STATIC, {"colour": 1})),)),
            "pinned.0.0.parameters.colour",
            "parameter_unknown",
            "weight_type",
        ),
        (
            PlanEdits(added=(named(GRAPH, (STATIC, {"weight_type": "int7"})),)),
            "added.0.1.parameters.weight_type",
            "parameter_invalid",
            "'int7', but must be one of 'int8', 'uint8'",
        ),
        (PlanEdits(added=(named(STATIC, PRUNE),)), "added.0", "order", "has narrowed them"),
        (PlanEdits(added=(named(EXPORT),)), "added.0", "order", "choose another order"),
        (PlanEdits(pinned=(named(GRAPH), named(GRAPH))), "pinned.1", "twice", "pinned.0"),
        (PlanEdits(pinned=(named(GRAPH),), removed=(named(GRAPH),)), "removed.0", "contradiction", "pinned.0"),
        (
            PlanEdits(changed=(ParameterChange(candidate=named(STATIC), parameters={PRUNE: {}}),)),
            f"changed.0.parameters.{PRUNE}",
            "not_in_chain",
            STATIC,
        ),
        (
            PlanEdits(changed=(ParameterChange(candidate=named(STATIC), parameters={STATIC: {"per_channel": 1}}),)),
            f"changed.0.parameters.{STATIC}.per_channel",
            "parameter_invalid",
            "1, but must be true or false",
        ),
        (PlanEdits(kept_layers=("layer1", "layer1")), "kept_layers.1", "twice", "'layer1'"),
    ],
)
def test_each_wrong_edit_is_named_with_what_would_be_right(edits: PlanEdits, field: str, code: str, words: str) -> None:
    (found,) = wrong(edits)
    assert (found.field, found.code) == (field, code)
    assert words in found.message


def test_layers_are_checked_only_where_an_analysis_knows_them():
    edits = PlanEdits(kept_layers=("conv1",))
    assert wrong(edits) == wrong(edits, ["conv1"]) == []
    (found,) = wrong(edits, ["conv2"])
    assert (found.code, "did you mean conv2?" in found.message) == ("layer_unknown", True)


def test_what_criteria_forbid_or_operators_switched_off_is_refused_and_may_be_removed():
    edits = PlanEdits(added=(named(STATIC),))
    (forbidden,) = wrong(edits, criteria=FASTEST.model_copy(update={"forbidden_techniques": (STATIC,)}))
    assert forbidden.code == "technique_not_allowed"
    (off,) = wrong(edits, disabled=(STATIC,))
    assert (off.code, "switched off" in off.message) == ("technique_not_applicable", True)
    assert wrong(PlanEdits(removed=(named(STATIC),)), disabled=(STATIC,)) == []


# --- what the machine needs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("named_bits", "planned"), [({}, True), ({"reduce_range": False}, None)])
def test_an_added_candidate_gets_what_the_machine_needs_unless_the_member_says_otherwise(
    named_bits: dict[str, bool], planned: bool | None
) -> None:
    asked = named((STATIC, {"calibration": "percentile", **named_bits}))

    plan = plan_of(resnet(flags=("avx2",)), PlanEdits(added=(asked,)))

    first = plan.candidates[0]
    assert first.parameters["calibration"] == "percentile"
    assert first.parameters.get("reduce_range") is planned
    assert ("saturate" in first.predicted.basis) is (planned is None)


def test_a_candidate_of_the_preview_is_found_in_the_plan_of_a_machine_without_vnni() -> None:
    preview = plan_preview(resnet().analysis.model, DATASET, FASTEST)
    name = name_of(next(one for one in preview.candidates if one.technique == STATIC).steps)

    plan = plan_of(resnet(flags=("avx2",)), PlanEdits(removed=(name,)))

    gone = next(one for one in plan.omitted if "A member removed it" in one.reason)
    assert "weights int8 in 7 bits" in gone.title
