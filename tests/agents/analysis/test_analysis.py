from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.analysis.agent import AnalysisAgent, by_weight
from apps.agents.backends.onnx import analysis
from apps.agents.contracts.criteria import Criteria, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.models import OperatorsUnknown
from apps.agents.contracts.errors.running import ModelNotLoadable, ModelRunFailed
from apps.agents.contracts.job import Job
from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.datasets.loading import Dataset, load_dataset
from apps.agents.files.onnx_wire import summarize
from apps.agents.handlers.analysis import analyse
from apps.agents.handlers.inspection import inspect_model
from apps.agents.sandbox.process import run_job
from tests.agents import graphs
from tests.agents.told import Told

SAMPLES = Path(__file__).parents[3] / "samples"
SPEC = DatasetSpec(kind="npz", task=Task.FIDELITY)


def _saved(model: graphs.ModelProto, tmp_path: Path, **arrays: graphs.Array) -> tuple[Path, Path]:
    np.savez(tmp_path / "data.npz", **arrays)
    return graphs.save(model, tmp_path / "model.onnx"), tmp_path / "data.npz"


def _analysed(
    model: graphs.ModelProto, tmp_path: Path, criteria: Criteria | None = None, **arrays: graphs.Array
) -> AnalysisReport:
    path, data = _saved(model, tmp_path, **arrays)
    dataset: Dataset = load_dataset(data, SPEC, summarize(path).inputs, seed=0, scratch=tmp_path)
    return AnalysisAgent(tmp_path).analyse(path, dataset, criteria or Criteria(), Told())


def _pixels(examples: int = 40) -> graphs.Array:
    return graphs.rng().normal(size=(examples, 3, 8, 8)).astype(np.float32)


def test_a_network_is_analysed_in_full(tmp_path: Path) -> None:
    report = _analysed(graphs.convolutions(), tmp_path, x=_pixels())
    layers = {layer.name: layer for layer in report.layers}
    assert report.model.parameters == sum(layer.parameters for layer in report.layers)
    assert report.latency.p50_ms > 0
    assert report.latency.p95_ms >= report.latency.p50_ms
    assert report.latency.batch_size == report.latency.threads == 1
    assert report.peak_memory_bytes > 0
    assert report.calibration_examples == 8
    assert layers["depthwise"].depthwise
    assert layers["stem"].macs == 16 * 64 * 27
    assert layers["stem"].sqnr_db is not None
    assert layers["flatten"].sqnr_db is None
    assert sum(layer.time_share or 0 for layer in report.layers) == pytest.approx(1, abs=0.35)
    assert {entry.op_type for entry in report.operator_sensitivity} >= {"Conv", "MatMul", "Relu", "Clip"}
    assert report.machine.libraries["onnxruntime"]


def test_a_report_survives_its_journey_through_json(tmp_path: Path) -> None:
    report = _analysed(graphs.convolutions(), tmp_path, x=_pixels())
    assert AnalysisReport.model_validate(json.loads(json.dumps(report.model_dump(mode="json")))) == report


def test_the_criterias_batch_and_threads_are_measured(tmp_path: Path) -> None:
    criteria = Criteria(target=Target(batch_size=4, threads=2))
    latency = _analysed(graphs.convolutions(), tmp_path, criteria, x=_pixels()).latency
    assert (latency.batch_size, latency.threads) == (4, 2)
    assert latency.throughput_per_s == pytest.approx(4000 / latency.p50_ms)


def test_a_model_with_a_fixed_batch_is_measured_at_its_own(tmp_path: Path) -> None:
    x = graphs.rng().normal(size=(60, 4)).astype(np.float32)
    report = _analysed(graphs.perceptron(batch=5), tmp_path, x=x)
    assert report.latency.batch_size == 5
    assert "only batches of 5," in report.notes[0]
    assert report.calibration_examples == 10
    assert report.layers[0].macs == 4 * 8
    assert report.layers[0].sqnr_db is not None


def test_integers_in_and_out_are_analysed(tmp_path: Path) -> None:
    report = _analysed(graphs.table(), tmp_path, ids=graphs.rng().integers(0, 20, (40, 5)))
    assert any("not in float32" in note for note in report.notes)
    assert {layer.op_type: layer.parameters for layer in report.layers}["Gather"] == 160


def test_a_mask_makes_adding_the_riskiest_and_products_the_opportunity(tmp_path: Path) -> None:
    report = _analysed(graphs.attention(-3e38), tmp_path, **graphs.attention_feeds(40))
    assert {entry.op_type for entry in report.operator_sensitivity[:2]} == {"Add", "Softmax"}
    assert report.opportunities
    known = {entry.technique for entry in report.compatibility if entry.compatible}
    for opportunity in report.opportunities:
        assert opportunity.technique in known
        assert max(opportunity.expected_speedup, opportunity.expected_size_ratio) > 1.02
        assert opportunity.reason


def test_what_cannot_be_looked_into_is_a_note_and_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ModelRunFailed(reason="the truth value of an array is ambiguous")

    monkeypatch.setattr(analysis, "observe", refuse)
    report = _analysed(graphs.convolutions(), tmp_path, x=_pixels())
    assert any("ambiguous" in note for note in report.notes)
    assert report.latency.p50_ms > 0
    assert report.layers[0].parameters == 16 * 27
    assert all(layer.macs is None and layer.sqnr_db is None for layer in report.layers)


def test_a_graph_that_cannot_be_simplified_is_analysed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ModelNotLoadable(reason="cannot be written")

    monkeypatch.setattr(analysis, "fold", refuse)
    report = _analysed(graphs.convolutions(), tmp_path, x=_pixels())
    assert any("cannot be written" in note for note in report.notes)
    assert report.layers[0].sqnr_db is not None


def test_layers_that_gain_most_come_first() -> None:
    layers = [
        Layer(name="small", op_type="Conv", parameters=1, weight_bytes=4, macs=9),
        Layer(name="busy", op_type="Conv", parameters=1, weight_bytes=4, macs=99),
        Layer(name="unknown", op_type="Loop", parameters=0, weight_bytes=0),
        Layer(name="large", op_type="Gemm", parameters=9, weight_bytes=36, macs=9),
    ]
    assert by_weight(layers) == ["large", "busy", "small", "unknown"]


@pytest.mark.parametrize(("name", "depthwise"), [("fashion_resnet", False), ("fashion_mobilenet", True)])
def test_a_sample_is_analysed(tmp_path: Path, name: str, depthwise: bool) -> None:
    model, data = SAMPLES / f"{name}.onnx", SAMPLES / "fashion_mnist_test.npz"
    spec = DatasetSpec(kind="npz", task=Task.CLASSIFICATION)
    dataset = load_dataset(data, spec, summarize(model).inputs, seed=0, scratch=tmp_path)
    told = Told()
    report = AnalysisAgent(tmp_path, sensitivity_budget_s=20).analyse(model, dataset, Criteria(), told)
    convolutions = [layer for layer in report.layers if layer.op_type == "Conv"]
    assert any(layer.depthwise for layer in convolutions) == depthwise
    assert sum(layer.time_share or 0 for layer in convolutions) > 0.7
    assert sum(layer.macs or 0 for layer in convolutions) > 1e6
    assert all(layer.sqnr_db is not None for layer in convolutions)
    assert report.opportunities[0].technique == "onnx-static-int8"
    assert told.fractions == sorted(told.fractions)
    assert told.fractions[-1] == 1
    assert set(told.metrics) == {"latency_p50_ms", "peak_memory_bytes"}


# --- the jobs --------------------------------------------------------------------------------------------------------


ONNX = {"original_format": "onnx", "format": "onnx"}


def _context(tmp_path: Path, inputs: dict[str, Path], **arguments: Any) -> Any:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Told(Job(handler="tests:none", scratch=scratch, inputs=inputs, arguments=arguments))


def test_the_inspection_job_hands_back_a_summary(tmp_path: Path) -> None:
    model, _ = _saved(graphs.perceptron(), tmp_path)
    result = inspect_model(_context(tmp_path, {"model": model}, format="onnx", limit_bytes=10_000))
    assert ModelSummary.model_validate(result.body) == summarize(model)


def test_the_inspection_job_refuses_with_the_reasons_own_code(tmp_path: Path) -> None:
    model, _ = _saved(graphs.with_custom_operator(), tmp_path)
    with pytest.raises(OperatorsUnknown) as caught:
        inspect_model(_context(tmp_path, {"model": model}, format="onnx"))
    assert caught.value.code == "model.unknown_operators"


def test_the_analysis_job_hands_back_a_report(tmp_path: Path) -> None:
    model, data = _saved(graphs.convolutions(), tmp_path, x=_pixels())
    arguments = {**ONNX, "criteria": Criteria().model_dump(mode="json"), "dataset": SPEC.model_dump(mode="json")}
    context = _context(tmp_path, {"model": model, "dataset": data}, sensitivity_budget_s=5.0, **arguments)
    report = AnalysisReport.model_validate(analyse(context).body)
    assert report.model == summarize(model)
    assert report.operator_sensitivity


def test_both_jobs_run_in_a_child_process(tmp_path: Path) -> None:
    model, data = _saved(graphs.perceptron(), tmp_path, x=graphs.rng().normal(size=(40, 4)).astype(np.float32))
    events: list[Any] = []

    def ran(handler: str, **arguments: Any) -> dict[str, Any]:
        scratch = tmp_path / handler.rpartition(":")[2]
        scratch.mkdir()
        inputs = {"model": model, "dataset": data}
        job = Job(handler=handler, scratch=scratch, inputs=inputs, arguments=arguments)
        return run_job(job, on_event=events.append, should_stop=lambda: False).body

    summary = ModelSummary.model_validate(ran("apps.agents.handlers.inspection:inspect_model", format="onnx"))
    assert summary == summarize(model)
    arguments = {**ONNX, "criteria": Criteria().model_dump(mode="json"), "dataset": SPEC.model_dump(mode="json")}
    report = AnalysisReport.model_validate(ran("apps.agents.handlers.analysis:analyse", **arguments))
    assert report.model == summary
    assert report.peak_memory_bytes > 0
    assert any(event.type == "progress" and "Sensitivity" in event.message for event in events)
