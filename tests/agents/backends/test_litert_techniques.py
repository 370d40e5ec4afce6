"""Each technique for TensorFlow Lite shows its effect on a real net: bytes, closeness, and what stays in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.backends.litert.analysis import LiteRtAnalysisEngine
from apps.agents.backends.litert.flatbuffer import read_litert
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.errors.running import DeviceMissing
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueParameters
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import Quantized
from apps.agents.datasets.loading import load_dataset
from apps.agents.evaluation.fidelity import energies
from apps.agents.measuring.engine import open_engine
from apps.agents.techniques.base import Assignment, Optimized, agent_for, spec_of
from tests.assets.models import Trio, audio_windows

# The first run downloads and builds.
pytestmark = [pytest.mark.assets, pytest.mark.timeout(600)]


class Silent:
    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None: ...

    def log(self, message: str, level: str = "info") -> None: ...

    def metric(self, name: str, value: float, step: int | None = None) -> None: ...


def made(model: Path, folder: Path, technique: str, **parameters: Any) -> Optimized:
    (folder / "work").mkdir(parents=True)
    (folder / "out").mkdir()
    inputs = open_engine("tflite", model, folder / "work").summary.inputs
    spec, complete = spec_of(technique, parameters)
    dataset = load_dataset(audio_windows(24), DatasetSpec(kind=DatasetKind.NPZ, task=Task.FIDELITY), inputs, 0)
    places: dict[str, Any] = {"scratch": folder / "work", "out": folder / "out"}
    assignment = Assignment(spec=spec, parameters=complete, model=model, dataset=dataset, format="tflite", **places)
    return agent_for(spec).run(assignment, Silent())


def sqnr_db(original: Path, changed: Path) -> float:
    """Of the worst output on four windows."""
    feeds = {"input_2": np.load(audio_windows(24))["input_2"][:4]}
    both = (open_engine("tflite", path, path.parent).session(Target())(feeds) for path in (original, changed))
    ratios = [signal / max(noise, 1e-30) for signal, noise in (energies(*pair) for pair in zip(*both, strict=True))]
    return float(10 * np.log10(min(ratios)))


@pytest.mark.parametrize(
    ("technique", "parameters", "bits", "least_db"),
    [
        ("litert-float16", {}, 16, 35),
        ("litert-dynamic", {"bits": 8}, 8, 15),
        ("litert-dynamic", {"bits": 8, "per_channel": False}, 8, 10),
        ("litert-weight-only", {"bits": 4}, 4, 1),
        ("litert-static", {"activation_type": "int8"}, 8, 3),
        ("litert-static", {"activation_type": "int16"}, 8, 5),
    ],
)
def test_weights_take_as_many_bits_as_they_should_and_outputs_stay_close(
    basic_pitch: Trio, tmp_path: Path, technique: str, parameters: dict[str, Any], bits: int, least_db: float
):
    found = made(basic_pitch.tflite, tmp_path, technique, **parameters)
    weights = [tensor for tensor in read_litert(found.artifact).tensors if tensor.stored and len(tensor.shape) > 2]
    narrow = {"float16", "int8", "int4"}
    share = sum(one.elements for one in weights if one.dtype in narrow) / sum(one.elements for one in weights)
    assert share > 0.9
    assert {one.dtype for one in weights if one.elements > 5000} == {{16: "float16", 8: "int8", 4: "int4"}[bits]}
    assert found.result.size_bytes < found.result.input_size_bytes
    assert sqnr_db(basic_pitch.tflite, found.artifact) > least_db


def test_operators_that_are_named_stay_in_float(basic_pitch: Trio, tmp_path: Path):
    before = read_litert(basic_pitch.tflite)
    kept = {name for one in before.operators if "cq_t2010v2" in (name := before.name_of(one))}
    mixed = made(basic_pitch.tflite, tmp_path, "litert-static", keep_float_nodes=sorted(kept))

    after = read_litert(mixed.artifact)
    operators = {after.name_of(one): one for one in after.operators}
    assert all(_in_float(after, operators[name]) for name in kept if name in operators)
    others = [one for name, one in operators.items() if one.op_type == "CONV_2D" and name not in kept]
    assert any(not _in_float(after, one) for one in others)


def _in_float(file: Any, operator: Any) -> bool:
    return bool(operator.outputs) and file.tensors[operator.outputs[0]].dtype == "float32"


def test_a_model_may_take_and_give_whole_numbers_and_is_fed_floats_all_the_same(basic_pitch: Trio, tmp_path: Path):
    whole = made(basic_pitch.tflite, tmp_path, "litert-static", io_type="integer")

    file = read_litert(whole.artifact)
    assert {file.tensors[port.tensor].dtype for port in (*file.inputs, *file.outputs)} == {"int8"}
    spec = file.summary().inputs[0]
    assert spec.dtype == "float32"
    assert isinstance(spec.quantized, Quantized)
    assert sqnr_db(basic_pitch.tflite, whole.artifact) > 3


def test_what_does_not_fit_is_refused_by_name(basic_pitch: Trio, tmp_path: Path):
    with pytest.raises(TechniqueParameters, match="not have the operators no_such_one"):
        made(basic_pitch.tflite, tmp_path / "a", "litert-static", keep_float_nodes=["no_such_one"])
    with pytest.raises(TechniqueParameters, match="NO_SUCH is not an operator type"):
        made(basic_pitch.tflite, tmp_path / "b", "litert-static", keep_float_operators=["NO_SUCH"])
    once = made(basic_pitch.tflite, tmp_path / "c", "litert-weight-only")
    with pytest.raises(TechniqueNotApplicable, match="none of its weights"):
        made(once.artifact, tmp_path / "d", "litert-float16")


def test_there_is_nothing_for_an_accelerator(basic_pitch: Trio, tmp_path: Path):
    with pytest.raises(DeviceMissing):
        open_engine("tflite", basic_pitch.tflite, tmp_path).session(Target.model_validate({"device": "cuda"}))


def test_the_analysis_engine_counts_and_ranks_every_operator(basic_pitch: Trio, tmp_path: Path):
    engine = LiteRtAnalysisEngine(basic_pitch.tflite, tmp_path)
    batches = [{"input_2": np.load(audio_windows(24))["input_2"][:2]}]
    layers = engine.layers(batches)
    found = engine.sensitivity(batches, [layer.name for layer in layers], budget_s=6, tell=lambda *_: None)

    convolutions = [layer for layer in layers if layer.op_type == "CONV_2D"]
    assert all(layer.macs for layer in convolutions)
    assert sum(layer.parameters for layer in layers if layer.op_type == "CONV_2D") >= 35_057
    assert {one.op_type for one in found.operators} & {"CONV_2D", "MUL", "ADD"}
    alone = engine.layers([{"input_2": batches[0]["input_2"][:1]}])
    assert [layer.macs for layer in alone] == [layer.macs for layer in layers], "of one example, whatever the batch"
