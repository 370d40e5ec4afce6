"""Each kind of conflict: when it is found, when it is not, and that each of its resolutions resolves it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES, Criteria
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec, OutputLabels
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.evaluation.decidability import Earlier
from apps.agents.evaluation.plausibility import weight_bytes
from apps.agents.planning.conflicts.checking import RULES, conflicts_of, contradictions, resolution_of, resolved
from apps.agents.planning.conflicts.values import Conflict, Known, Precedence, Severity
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import (
    BLOCKS,
    DATASET,
    DYNAMIC,
    EXPORT,
    FLOAT16,
    GPTQ,
    GRAPH,
    HALF,
    PRUNE,
    STATIC,
    minilm,
    resnet,
)
from tests.agents.planning.test_several_exports import KERAS as KERAS_WORLD
from tests.agents.torch_worlds import torch_encoder

STOP, WARN = Severity.CONTRADICTION, Severity.WARNING
CATALOGUE_ONLY = Known()
SPEC = DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION)
RESNET = Known(model=resnet().model, dataset=DATASET)
MINILM = Known(model=minilm().model, dataset=DATASET)
TORCH = Known(model=torch_encoder().model, dataset=DATASET)
KERAS = Known(model=KERAS_WORLD.model, dataset=DATASET)
SIZE = resnet().model.size_bytes
CELSIUS = DatasetSpec(kind=DatasetKind.NPZ, task=Task.REGRESSION, unit="°C")
NUMBERS = DATASET.model_copy(update={"task": Task.REGRESSION})
AGED = SPEC.model_copy(
    update={"output_labels": {"age": OutputLabels(label="old", task=Task.CLASSIFICATION)}, "output": "logits"}
)
TEAMS = Criteria.model_validate({"constraints": {"max_metric_drop_points": 0.5, "default_rise": 0.01}})
LIMITS, BUDGET = "constraints", "budget"


@dataclass(frozen=True)
class Case:
    """Criteria with a conflict, and close ones without it."""

    code: str
    severity: Severity
    body: dict[str, Any]
    fine: dict[str, Any]
    known: Known = CATALOGUE_ONLY
    resolutions: int = 2
    words: tuple[str, ...] = ()
    subject: str = ""


CASES = [
    Case(
        "technique_forbidden",
        STOP,
        {"allowed_techniques": [STATIC, DYNAMIC], "forbidden_techniques": [STATIC]},
        {"allowed_techniques": [DYNAMIC], "forbidden_techniques": [STATIC]},
        words=("is allowed, but also forbidden",),
        subject=STATIC,
    ),
    Case(
        "technique_forbidden",
        STOP,
        {"required_techniques": [STATIC], "forbidden_techniques": [STATIC]},
        {"required_techniques": [STATIC], "forbidden_techniques": [DYNAMIC]},
        words=("is required, but also forbidden",),
        subject=STATIC,
    ),
    Case(
        "technique_not_allowed",
        STOP,
        {"required_techniques": [STATIC], "allowed_techniques": [DYNAMIC]},
        {"required_techniques": [STATIC], "allowed_techniques": [DYNAMIC, STATIC]},
        words=("only other techniques are allowed",),
        subject=STATIC,
    ),
    Case(
        "nothing_permitted",
        WARN,
        {"forbidden_techniques": list(catalogue())},
        {"forbidden_techniques": [STATIC]},
        resolutions=1,
    ),
    Case(
        "technique_disabled",
        STOP,
        {"required_techniques": [STATIC]},
        {"required_techniques": [DYNAMIC]},
        Known(disabled=(STATIC,)),
        1,
        ("switched",),
        STATIC,
    ),
    Case(
        "technique_paused",
        STOP,
        {"required_techniques": [STATIC], "allowed_techniques": [STATIC, DYNAMIC]},
        {"required_techniques": [DYNAMIC]},
        Known(paused={STATIC: "Static int8 has been paused. It is tried again after noon."}),
        1,
        ("tried again after noon. Do without it, or wait until then.",),
        STATIC,
    ),
    Case(
        "technique_unavailable",
        STOP,
        {"required_techniques": [GPTQ]},
        {"required_techniques": [STATIC]},
        Known(libraries=("onnx", "onnxruntime")),
        1,
        ("llmcompressor",),
        GPTQ,
    ),
    Case(
        "technique_for_another_device",
        STOP,
        {"required_techniques": ["tensorflow-half"]},
        {"required_techniques": ["tensorflow-half"], "target": {"device": "cuda"}},
        words=("runs on a GPU (CUDA) only, but the target is the CPU",),
        subject="tensorflow-half",
    ),
    Case(
        "technique_for_another_device",
        WARN,
        {"allowed_techniques": ["litert-float16", "onnx-float16"], "target": {"device": "cuda"}},
        {"allowed_techniques": ["litert-float16", "onnx-float16"]},
        subject="litert-float16",
    ),
    Case(
        "technique_incompatible",
        STOP,
        {"required_techniques": [GPTQ]},
        {"required_techniques": [STATIC]},
        RESNET,
        1,
        ("this model's format is ONNX",),
        GPTQ,
    ),
    Case(
        "technique_incompatible",
        STOP,
        {"required_techniques": ["torch-distill-student"]},
        {"required_techniques": [HALF]},
        TORCH,
        1,
        subject="torch-distill-student",
    ),
    Case(
        "export_excluded",
        STOP,
        {"allowed_techniques": [STATIC]},
        {"allowed_techniques": [STATIC, EXPORT]},
        TORCH,
        2,
        ("which the criteria exclude",),
        STATIC,
    ),
    Case(
        "export_excluded",
        WARN,
        {"allowed_techniques": [STATIC, HALF], "forbidden_techniques": [EXPORT]},
        {"allowed_techniques": [HALF], "forbidden_techniques": [EXPORT]},
        TORCH,
        2,
        subject=STATIC,
    ),
    Case(
        "required_left_out",
        WARN,
        {"required_techniques": [FLOAT16], LIMITS: {"min_size_reduction": 3}},
        {"required_techniques": [FLOAT16], LIMITS: {"min_size_reduction": 1.9}},
        RESNET,
        1,
        ("at least 3 times is required",),
        FLOAT16,
    ),
    Case(
        "size_out_of_reach",
        STOP,
        {"objective": "size", "allowed_techniques": [STATIC], LIMITS: {"min_size_reduction": 8}},
        {"objective": "size", "allowed_techniques": [STATIC], LIMITS: {"min_size_reduction": 3.9}},
        RESNET,
        3,
        (
            "cannot become more than 4.00 times smaller. The nearest is Static int8",
            "set the limit to 3.92 times smaller.",
        ),
    ),
    Case(
        "size_out_of_reach",
        STOP,
        {"objective": "size", "allowed_techniques": [FLOAT16], LIMITS: {"max_size_bytes": SIZE // 5}},
        {"objective": "size", "allowed_techniques": [FLOAT16], LIMITS: {"max_size_bytes": SIZE * 6 // 10}},
        RESNET,
        3,
        ("The file may have at most", "The nearest is Float16", "is the limit. Allow other techniques"),
    ),
    Case(
        "size_out_of_reach",
        WARN,
        {"objective": "size", "allowed_techniques": [STATIC, PRUNE], LIMITS: {"min_size_reduction": 40}},
        {"objective": "size", "allowed_techniques": [STATIC, PRUNE], LIMITS: {"min_size_reduction": 4.5}},
        RESNET,
        3,
        ("no permitted technique is predicted to reach that",),
    ),
    Case(
        "speed_out_of_reach",
        WARN,
        {LIMITS: {"min_speedup": 20}},
        {LIMITS: {"min_speedup": 3}},
        RESNET,
        2,
        ("come near. The nearest is ", "and 20× is required."),
    ),
    Case(
        "speed_out_of_reach",
        WARN,
        {LIMITS: {"max_latency_ms": 0.5}},
        {LIMITS: {"max_latency_ms": 5}},
        Known(model=resnet().model, dataset=DATASET, latency_ms=10),
        1,
    ),
    Case(
        "memory_out_of_reach",
        WARN,
        {"allowed_techniques": [FLOAT16], LIMITS: {"max_memory_bytes": SIZE * 3 // 10}},
        {"allowed_techniques": [FLOAT16], LIMITS: {"max_memory_bytes": SIZE * 6 // 10}},
        RESNET,
        2,
        ("even as Float16, the smallest that is predicted, its weights alone need",),
    ),
    Case(
        "memory_out_of_reach",
        WARN,
        {LIMITS: {"max_memory_bytes": SIZE // 100}, "counted_size": "compressed"},
        {LIMITS: {"max_memory_bytes": SIZE}},
        RESNET,
        1,
        ("Allow more memory",),
    ),
    Case(
        "nothing_planned",
        WARN,
        {"allowed_techniques": [HALF]},
        {"allowed_techniques": [STATIC]},
        RESNET,
        1,
        ("With all techniques allowed, ",),
    ),
    Case(
        "too_few_candidates",
        STOP,
        {"required_techniques": [STATIC, DYNAMIC], BUDGET: {"candidates": 1}},
        {"required_techniques": [STATIC, DYNAMIC], BUDGET: {"candidates": 2}},
        resolutions=1,
        words=("needs a candidate of its own",),
    ),
    Case(
        "too_few_candidates",
        WARN,
        {"required_techniques": ["torch-prune", "torch-recover"], BUDGET: {"candidates": 1}},
        {"required_techniques": ["torch-prune"], BUDGET: {"candidates": 1}},
        resolutions=1,
    ),
    Case(
        "too_few_minutes",
        WARN,
        {BUDGET: {"minutes": 0.05}},
        {BUDGET: {"minutes": 5}},
        RESNET,
        1,
        ("the budget is 3 s",),
    ),
    Case(
        "both_losses_limited",
        WARN,
        {LIMITS: {"max_metric_drop_points": 1, "max_metric_drop_relative": 0.02}},
        {LIMITS: {"max_metric_drop_points": None, "max_metric_drop_relative": 0.02}},
        words=("the tighter one decides",),
    ),
    Case(
        "size_limit_moot",
        WARN,
        {LIMITS: {"min_size_reduction": 2, "max_size_bytes": SIZE * 9 // 10}},
        {LIMITS: {"min_size_reduction": 2}},
        RESNET,
        1,
        ("“at least 2 times smaller” is the tighter limit",),
    ),
    Case(
        "size_limit_moot",
        WARN,
        {LIMITS: {"min_size_reduction": 1.2, "max_size_bytes": SIZE // 3}},
        {LIMITS: {"max_size_bytes": SIZE // 3}},
        RESNET,
        1,
        ("MB” is the tighter limit: “at least 1.2 times smaller” has",),
    ),
    Case(
        "speed_limit_moot",
        WARN,
        {LIMITS: {"min_speedup": 2, "max_latency_ms": 9}},
        {LIMITS: {"min_speedup": 2}},
        Known(latency_ms=10),
        1,
        ("“at least 2× as fast” is the tighter limit",),
    ),
    Case(
        "metric_not_measured",
        STOP,
        {LIMITS: {"metric_limits": {"mae": 1.0}}},
        {LIMITS: {"metric_limits": {"macro_f1": 1.0, "top5": 1.0}}},
        Known(model=resnet().model, dataset=DATASET, spec=SPEC),
        resolutions=1,
        words=("mean absolute error", "or macro F1"),
        subject="mae",
    ),
    Case(
        "metrics_of_several_tasks",
        STOP,
        {LIMITS: {"metric_limits": {"macro_f1": 1.0, "mae": 1.0}}},
        {LIMITS: {"metric_limits": {"rmse": 1.0, "mae": 1.0}}},
        words=("macro F1 and mean absolute error",),
    ),
    Case(
        "primary_limited_twice",
        WARN,
        {LIMITS: {"metric_limits": {"top1": 3.0}}},
        {LIMITS: {"metric_limits": {"macro_f1": 3.0}}},
        Known(dataset=DATASET, spec=SPEC),
        words=("limited to 1 point", "3 points"),
    ),
    Case(
        "outputs_not_limited",
        WARN,
        {LIMITS: {"max_output_deviation": None}},
        {},
        Known(
            model=resnet().model.model_copy(
                update={"outputs": (*resnet().model.outputs, TensorSpec(name="age", dtype="float32", shape=("N", 1)))}
            ),
            dataset=DATASET,
            spec=SPEC,
        ),
        resolutions=1,
        words=("the output age",),
    ),
    Case(
        "defaults_differ",
        WARN,
        {LIMITS: {"max_metric_drop_points": 5.0, "metric_limits": {"macro_f1": 2.0}}, "objective": "size"},
        {LIMITS: {"max_metric_drop_points": 0.5, "default_rise": 0.01}},
        Known(precedence=Precedence("Mine v1", "Ours v2", TEAMS)),
        resolutions=1,
        words=("Your default, Mine v1, takes precedence over the team's, Ours v2", "objective"),
    ),
    Case(
        "output_not_labelled",
        STOP,
        {LIMITS: {"output_limits": {"age": 1.0, "weight": 1.0}}},
        {LIMITS: {"output_limits": {"age": 1.0}}},
        Known(dataset=DATASET, spec=AGED),
        resolutions=1,
        words=("'weight'", "limit age instead"),
        subject="weight",
    ),
    Case(
        "labelled_output_not_limited",
        WARN,
        {},
        {LIMITS: {"output_limits": {"age": 1.0}}},
        Known(dataset=DATASET, spec=AGED),
        resolutions=1,
        words=("'age'", "'old'", "top-1 accuracy"),
        subject="age",
    ),
    Case(
        "output_loss_undecidable",
        WARN,
        {LIMITS: {"output_limits": {"age": 0.01}}},
        {},
        Known(dataset=DATASET, spec=AGED),
        resolutions=1,
        words=("top-1 accuracy of age loses more than 0.01 points",),
        subject="age",
    ),
    Case(
        "weights_unused",
        WARN,
        {"objective": "latency", "weights": {"latency": 1, "size": 3, "memory": 0}},
        {"objective": "balanced", "weights": {"latency": 1, "size": 3, "memory": 0}},
    ),
    Case(
        "objective_not_served",
        WARN,
        {"objective": "latency", "allowed_techniques": [FLOAT16]},
        {"objective": "size", "allowed_techniques": [FLOAT16]},
        words=("The objective is latency",),
    ),
    Case(
        "objective_not_served",
        WARN,
        {"objective": "size", "allowed_techniques": [GRAPH]},
        {"objective": "latency", "allowed_techniques": [GRAPH]},
    ),
    Case(
        "limit_not_served",
        WARN,
        {"allowed_techniques": [FLOAT16], LIMITS: {"min_speedup": 2}},
        {"allowed_techniques": [FLOAT16], LIMITS: {"min_size_reduction": 1.9}},
        subject="min_speedup",
    ),
    Case(
        "limit_not_served",
        WARN,
        {"forbidden_techniques": [], "allowed_techniques": [GRAPH], LIMITS: {"min_size_reduction": 2}},
        {"allowed_techniques": [GRAPH], LIMITS: {"min_speedup": 1.1}},
        subject="min_size_reduction",
    ),
    Case(
        "nothing_to_compress",
        WARN,
        {"counted_size": "compressed", "allowed_techniques": [STATIC]},
        {"counted_size": "compressed", "allowed_techniques": [STATIC, "torch-magnitude"]},
    ),
    Case(
        "loss_undecidable",
        WARN,
        {LIMITS: {"max_metric_drop_points": 0.1}, "accept_inconclusive": False},
        {LIMITS: {"max_metric_drop_points": None}},
        Known(dataset=DATASET.model_copy(update={"examples": 200}), spec=SPEC),
        2,
        ("too few for the limit of 0.1 points",),
    ),
    Case(
        "metric_loss_undecidable",
        WARN,
        {LIMITS: {"max_metric_drop_points": None, "metric_limits": {"top5": 0.1}}},
        {LIMITS: {"max_metric_drop_points": None, "metric_limits": {"macro_f1": 0.1}}},
        Known(dataset=DATASET, spec=SPEC),
        1,
        ("top-5 accuracy loses more than 0.1 points",),
        subject="top5",
    ),
    Case(
        "group_loss_undecidable",
        WARN,
        {LIMITS: {"max_metric_drop_points": None, "max_group_drop_points": 0.1}},
        {LIMITS: {"max_metric_drop_points": None}},
        Known(dataset=DATASET.model_copy(update={"groups": {"north": 1900, "south": 100}}), spec=SPEC),
        1,
        ("south is the smallest",),
    ),
    Case(
        "class_loss_undecidable",
        WARN,
        {LIMITS: {"max_metric_drop_points": None, "max_class_drop_points": 0.1}},
        {LIMITS: {"max_metric_drop_points": None}},
        Known(dataset=DATASET.model_copy(update={"class_counts": {"cat": 1900, "owl": 100}}), spec=SPEC),
        1,
        ("Of 2 classes, owl is the smallest",),
    ),
    Case(
        "loss_limit_unscaled",
        WARN,
        {LIMITS: {"max_metric_drop_points": 1.0}},
        {LIMITS: {"default_rise": 0.02}},
        Known(dataset=NUMBERS, spec=CELSIUS, earlier=(Earlier(0.05),)),
        1,
        ("1 °C", "is only 0.05 °C"),
    ),
    Case(
        "loss_limit_unscaled",
        WARN,
        {LIMITS: {"max_metric_drop_points": 1.0}},
        {LIMITS: {"max_metric_drop_unit": 1.0}},
        Known(dataset=NUMBERS, spec=CELSIUS),
        1,
        ("no session has measured",),
    ),
    Case(
        "group_limit_unanswerable",
        STOP,
        {LIMITS: {"max_group_drop_unit": 0.1}},
        {LIMITS: {"max_metric_drop_unit": 0.1}},
        Known(dataset=NUMBERS, spec=CELSIUS),
        1,
        ("has no groups",),
    ),
    Case(
        "class_limit_unanswerable",
        STOP,
        {LIMITS: {"max_class_drop_points": 1.0}},
        {LIMITS: {"max_group_drop_points": None}},
        Known(dataset=NUMBERS, spec=CELSIUS),
        1,
        ("task is regression",),
    ),
]


def found(code: str, body: dict[str, Any], known: Known, subject: str = "") -> Conflict | None:
    conflicts = conflicts_of(Criteria.model_validate(body), known)
    return next((one for one in conflicts if one.code == code and subject in (one.subject, "")), None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.severity}")
def test_it_is_found_named_and_can_be_resolved(case: Case):
    criteria = Criteria.model_validate(case.body)
    conflict = found(case.code, case.body, case.known, case.subject)
    assert conflict is not None
    assert conflict.severity is case.severity
    assert conflict.subject == case.subject
    assert len(conflict.resolutions) == case.resolutions
    assert all(words in conflict.message for words in case.words)
    assert conflict.message.endswith(".")
    assert conflict.fields
    assert all(_has_field(criteria, path) for path in conflict.fields)
    for resolution in conflict.resolutions:
        if resolution.id == "loss_undecidable/accept":
            continue  # It removes nothing but the refusal of unproven results.
        patched = resolved(criteria, resolution)
        assert found(case.code, patched.model_dump(mode="json"), case.known, case.subject) is None, resolution.id


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.severity}")
def test_criteria_close_to_it_have_no_such_conflict(case: Case):
    assert found(case.code, case.fine, case.known) is None


def test_every_rule_has_a_case():
    """Also those whose code another rule could give: each rule finds something in one of the cases."""
    for rule in RULES:
        assert any(list(rule(Criteria.model_validate(case.body), case.known)) for case in CASES), rule.__name__


def test_the_api_guide_lists_every_code():
    page = (Path(__file__).parents[4] / "docs" / "api.md").read_text()
    table = page.split("| conflict | |")[1].split("\n\n")[0]
    first_cells = "".join(line.split("|")[1] for line in table.splitlines() if line)
    assert set(re.findall(r"`(\w+)`", first_cells)) == {case.code for case in CASES}


def _has_field(criteria: Criteria, path: str) -> bool:
    value: Any = criteria
    for part in path.split("."):
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


@pytest.mark.parametrize("known", [CATALOGUE_ONLY, RESNET, MINILM, TORCH], ids=["nothing", "resnet", "minilm", "torch"])
@pytest.mark.parametrize("name", list(PROFILES))
def test_the_profiles_have_no_conflict(name: str, known: Known):
    assert conflicts_of(PROFILES[name], known) == ()


def test_contradictions_come_first():
    body = {
        "objective": "latency",
        "weights": {"size": 2},
        "allowed_techniques": [STATIC],
        "forbidden_techniques": [STATIC],
    }
    conflicts = conflicts_of(Criteria.model_validate(body))
    assert [one.severity for one in conflicts] == sorted(
        (one.severity for one in conflicts), key=lambda one: one != STOP
    )
    assert contradictions(conflicts) == conflicts[:1]


def test_a_resolution_is_named_by_code_subject_and_action():
    criteria = Criteria(allowed_techniques=(STATIC,), forbidden_techniques=(STATIC,))
    conflicts = conflicts_of(criteria)
    permit = resolution_of(conflicts, f"technique_forbidden/{STATIC}/permit")
    assert permit is not None
    assert resolved(criteria, permit) == Criteria(allowed_techniques=(STATIC,))
    forbid = resolution_of(conflicts, f"technique_forbidden/{STATIC}/forbid")
    assert forbid is not None
    assert "allow all other techniques" in forbid.title
    assert resolved(criteria, forbid) == Criteria(forbidden_techniques=(STATIC,))
    assert resolution_of(conflicts, "technique_forbidden/onnx-prune/permit") is None


def test_the_nearest_feasible_size_gives_a_plan():
    criteria = Criteria.model_validate(
        {"objective": "size", "allowed_techniques": [STATIC], LIMITS: {"min_size_reduction": 8}}
    )
    assert not RESNET.plan(criteria).candidates
    nearest = resolution_of(conflicts_of(criteria, RESNET), "size_out_of_reach/nearest")
    assert RESNET.plan(resolved(criteria, nearest)).candidates


def test_the_conflict_names_the_same_point_in_the_same_words_as_the_plan():
    for limits in ({"min_size_reduction": 8}, {"min_speedup": 30}, {"min_size_reduction": 8, "min_speedup": 30}):
        criteria = Criteria.model_validate({"allowed_techniques": [STATIC], LIMITS: limits})
        nearest, conflicts = RESNET.plan(criteria).nearest, conflicts_of(criteria, RESNET)
        assert nearest.sentence.endswith(nearest.nearest_in_words)
        assert {one.code.split("_")[0] for one in conflicts} >= {name.split("_")[1][:5] for name in limits} - {"speed"}
        assert sum(nearest.nearest_in_words in one.message for one in conflicts) == 1


def test_a_limit_on_size_and_speed_out_of_reach_are_two_conflicts_and_one_nearest_point():
    criteria = Criteria.model_validate(
        {"allowed_techniques": [STATIC], LIMITS: {"min_size_reduction": 8, "min_speedup": 30}}
    )
    both = {one.code: one for one in conflicts_of(criteria, RESNET)}
    assert "The nearest is " in both["size_out_of_reach"].message
    assert "The nearest is " not in both["speed_out_of_reach"].message
    for action in ("size_out_of_reach/nearest", "speed_out_of_reach/nearest"):
        criteria = resolved(criteria, resolution_of(conflicts_of(criteria, RESNET), action))
    assert RESNET.plan(criteria).candidates, "the point holds both limits"


def test_an_export_in_the_plan_leaves_open_what_can_be_reached():
    """Techniques for the other runtime are weighed only once the exported model is analysed."""
    assert conflicts_of(Criteria.model_validate({LIMITS: {"min_size_reduction": 8, "min_speedup": 50}}), TORCH) == ()


@pytest.mark.parametrize("known", [TORCH, KERAS], ids=["torch", "keras"])
def test_eight_times_smaller_with_int8_behind_an_export_is_said_with_the_nearest_point(known: Known):
    """Before the analysis of the export, the bytes of a number type bound what it can become."""
    exporter = known.exporter(STATIC)
    assert exporter is not None
    body = {"objective": "size", "allowed_techniques": [exporter.name, STATIC], LIMITS: {"min_size_reduction": 8}}
    conflict = found("size_out_of_reach", body, known)
    assert conflict is not None
    assert conflict.severity is WARN, "an export may drop weights that the model does not use"
    assert "as long as its export keeps all weights. The nearest is " in conflict.message
    nearest = resolution_of([conflict], "size_out_of_reach/nearest")
    assert nearest is not None
    assert 1 < nearest.patch[LIMITS]["min_size_reduction"] < 4.1
    eased = resolved(Criteria.model_validate(body), nearest)
    assert found("size_out_of_reach", eased.model_dump(mode="json"), known) is None

    in_bytes = {**body, LIMITS: {"max_size_bytes": known.model.size_bytes // 8}}
    assert found("size_out_of_reach", in_bytes, known) is not None
    assert found("size_out_of_reach", {**body, LIMITS: {"min_size_reduction": 3}}, known) is None
    wider = {**body, "allowed_techniques": [exporter.name, STATIC, PRUNE]}
    assert found("size_out_of_reach", wider, known) is None, "pruning can go further than number types"


@pytest.mark.parametrize("known", [TORCH, KERAS], ids=["torch", "keras"])
def test_memory_below_the_weights_in_the_narrowest_type_behind_an_export_is_said(known: Known):
    exporter = known.exporter(STATIC)
    assert exporter is not None
    held = weight_bytes(known.model)
    body = {"allowed_techniques": [exporter.name, STATIC], LIMITS: {"max_memory_bytes": round(held / 8)}}
    conflict = found("memory_out_of_reach", body, known)
    assert conflict is not None
    assert "even in the narrowest of the permitted number types its weights alone need" in conflict.message
    assert found("memory_out_of_reach", {**body, LIMITS: {"max_memory_bytes": round(held / 3)}}, known) is None


def test_the_allowed_techniques_of_a_gpu_only_criteria_are_refused_on_a_cpu():
    conflicts = conflicts_of(Criteria(allowed_techniques=("tensorflow-half",)))
    assert contradictions(conflicts)[0].code == "technique_for_another_device"


def test_weights_that_are_all_zero_are_no_criteria_at_all():
    with pytest.raises(ValueError, match="at least one weight must be above 0"):
        Criteria.model_validate({"weights": {"latency": 0, "size": 0, "memory": 0}})


def test_int8_of_a_language_model_has_no_plan_of_four_bits():
    criteria = Criteria.model_validate({"objective": "size", LIMITS: {"min_size_reduction": 8}})
    conflict = found("size_out_of_reach", criteria.model_dump(mode="json"), MINILM)
    assert conflict is not None
    assert conflict.severity is WARN, "structured pruning can go further than arithmetic says"
    assert catalogue()[BLOCKS].label in conflict.message
