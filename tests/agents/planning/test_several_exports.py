"""A Keras model is exported to every runtime before it is planned for; what is lost costs its own techniques only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget
from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.measurements import Latency, ModeLatency
from apps.agents.contracts.state import Plan, SessionState, Status, StepRecord, StepRequest
from apps.agents.planning.agent import PlanningAgent
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.steps import analyse_key
from tests.agents.inmemory import World, minilm, resnet
from tests.agents.session.keys import shared_key

FASTEST = PROFILES["fastest"]
TO_LITERT, TO_ONNX = shared_key("litert-export"), shared_key("tensorflow-onnx-export")


def layer(name: str, op_type: str, sqnr_db: float | None = None) -> Layer:
    return Layer(name=name, op_type=op_type, parameters=100_000, weight_bytes=400_000, macs=1_000_000, sqnr_db=sqnr_db)


KERAS = replace(
    resnet(),
    layers=(layer("conv", "Conv2D"), layer("dense", "Dense")),
    format="keras",
    latency_ms=4.0,
    size_bytes=800_000,
)
LITERT = replace(
    resnet(),
    layers=(layer("conv", "CONV_2D", 30.0), layer("scale", "MUL", 4.0), layer("dense", "FULLY_CONNECTED", 30.0)),
    format="tflite",
    latency_ms=1.0,
    size_bytes=800_000,
    sensitivity={"MUL": 4.0},
)


def analysed(world: World, **changes: object) -> AnalysisReport:
    return world.analysis.model_copy(update=changes)


def done(request: StepRequest, world: World | None = None) -> StepRecord:
    result = world.analysis.model_dump(mode="json") if world else {}
    return StepRecord(request=request, status=Status.COMPLETED, result=result)


def asked(*steps: StepRecord, parallelism: int = 2) -> tuple[StepRequest, ...]:
    state = SessionState(
        criteria=FASTEST,
        model=KERAS.analysis.model,
        dataset=KERAS.dataset,
        seed=1,
        steps=steps,
        parallelism=parallelism,
    )
    return OptimizationManager().next(state).requests


@pytest.fixture
def analysis() -> StepRecord:
    return done(asked()[0], KERAS)


@pytest.mark.parametrize(("parallelism", "keys"), [(1, [TO_LITERT]), (2, [TO_LITERT, TO_ONNX])])
def test_every_export_is_asked_for_as_far_as_workers_are_free(analysis: StepRecord, parallelism: int, keys: list[str]):
    requests = asked(analysis, parallelism=parallelism)
    assert [request.key for request in requests] == keys
    assert {request.technique for request in requests} <= {"litert-export", "tensorflow-onnx-export"}


def test_each_export_is_analysed_and_then_all_is_planned_for(analysis: StepRecord):
    exports = [done(request) for request in asked(analysis)]
    again = asked(analysis, *exports)
    assert [request.key for request in again] == [analyse_key(TO_LITERT), analyse_key(TO_ONNX)]
    assert [request.parent for request in again] == [TO_LITERT, TO_ONNX]
    looked = [done(request, world) for request, world in zip(again, (LITERT, minilm()), strict=True)]
    assert asked(analysis, *exports, looked[0]) == again[1:]
    plan = asked(analysis, *exports, *looked)
    assert [request.key for request in plan] == ["plan"]
    assert plan[0].parameters["export_failures"] == {}


def test_a_failed_export_is_told_to_the_plan_and_the_other_goes_on(analysis: StepRecord):
    to_litert, to_onnx = asked(analysis)
    lost = StepRecord(
        request=to_onnx, status=Status.FAILED, error_code="technique.library_failed", error="No counterpart."
    )
    made = done(to_litert)
    (again,) = asked(analysis, made, lost)
    assert again.key == analyse_key(TO_LITERT)
    (plan,) = asked(analysis, made, lost, done(again, LITERT))
    assert plan.parameters["export_failures"] == {"onnx": "No counterpart."}


def test_keys_tell_what_was_applied():
    assert TO_LITERT.startswith("litert-export/")
    assert TO_ONNX.startswith("tensorflow-onnx-export/")
    assert analyse_key(TO_ONNX) == f"{TO_ONNX}/analyse"


# --- the plan ---------------------------------------------------------------------------------------------------------


def planned(*exported: AnalysisReport, original: AnalysisReport | None = None, **known: object) -> Plan:
    return PlanningAgent().plan(original or KERAS.analysis, FASTEST, KERAS.dataset, exported=exported, **known)


def test_techniques_of_every_runtime_are_weighed_against_the_original():
    plan = planned(LITERT.analysis, resnet().analysis)
    techniques = {candidate.technique for candidate in plan.candidates}
    assert {"litert-dynamic", "litert-static", "onnx-static-int8"} <= techniques
    dynamic = next(one for one in plan.candidates if one.technique == "litert-dynamic")
    assert dynamic.predicted.speedup > 4
    assert "Against the original the exported model itself is 4.00× as fast" in dynamic.predicted.basis


def test_an_operator_that_costs_more_than_it_gives_stays_in_float_from_the_start():
    static = [one for one in planned(LITERT.analysis).candidates if one.technique == "litert-static"]
    assert static[0].parameters["keep_float_operators"] == ["MUL"]
    assert "MUL stay in float, below 10 dB" in static[0].reason


def pruned(minutes: float, training: int) -> list[list[str]]:
    """The techniques of each planned candidate whose first link prunes."""
    criteria = FASTEST.model_copy(update={"budget": Budget(minutes=minutes, candidates=6)})
    dataset = KERAS.dataset.model_copy(update={"training_examples": training})
    plan = PlanningAgent().plan(KERAS.analysis, criteria, dataset, exported=[LITERT.analysis])
    chains = [[link.technique for link in one.steps] for one in plan.candidates]
    return [chain for chain in chains if chain[0] == "keras-prune"]


def test_a_keras_model_is_pruned_trained_again_exported_and_quantized_where_there_is_time():
    trained = ["keras-prune", "keras-recover", "litert-export"]
    found = [chain for chain in pruned(30, training=800) if "keras-recover" in chain]
    assert all(chain[:3] == trained for chain in found)
    ends = sorted(chain[3:] for chain in found)
    assert ends[:2] == [[], []], "each cut also in float"
    assert [len(end) for end in ends[2:]] == [1, 1]
    assert {end[0] for end in ends[2:]} <= {"litert-dynamic", "litert-static"}
    for untrained in (pruned(3, training=800), pruned(30, training=0)):
        assert untrained
        assert not any("keras-recover" in chain for chain in untrained)


def test_the_plan_says_which_runtime_to_deploy_on_and_what_a_mode_of_it_is_worth():
    latency = Latency(p50_ms=3.0, p95_ms=3.1, throughput_per_s=300, runs=50, batch_size=1, threads=1)
    compiled = analysed(KERAS, modes=(ModeLatency(name="TensorFlow with XLA", latency=latency),))
    said = planned(LITERT.analysis, original=compiled).summary
    assert "The float model takes 4 ms in TensorFlow, 1 ms in LiteRT and 3 ms in TensorFlow with XLA" in said
    assert "deploy it on LiteRT, which is 4.00× as fast as TensorFlow." in said


def test_a_mode_of_the_original_s_runtime_may_be_the_fastest():
    latency = Latency(p50_ms=0.5, p95_ms=0.6, throughput_per_s=2000, runs=50, batch_size=1, threads=1)
    compiled = analysed(KERAS, modes=(ModeLatency(name="TensorFlow with XLA", latency=latency),))
    said = planned(LITERT.analysis, original=compiled).summary
    assert "deploy it on TensorFlow with XLA, which is 8.00× as fast as TensorFlow." in said


def test_what_starts_from_an_export_that_is_not_there_says_why():
    plan = planned(LITERT.analysis, export_failures={"onnx": "No counterpart."})
    told = {omission.title: omission.reason for omission in plan.omitted}
    assert told["Techniques for ONNX"] == "They start from the export to ONNX, which is not available: No counterpart."


def test_a_technique_that_gains_nothing_is_planned_where_it_is_named():
    named = FASTEST.model_copy(update={"allowed_techniques": ("keras-clustering",)})
    plan = PlanningAgent().plan(KERAS.analysis, named, KERAS.dataset)
    assert {one.technique for one in plan.candidates} == {"keras-clustering"}
    assert "the criteria name it" in plan.candidates[0].reason
    assert "keras-clustering" not in {one.technique for one in planned(LITERT.analysis).candidates}
