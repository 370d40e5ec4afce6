from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from apps.agents.contracts.reports.analysis import Compatibility
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.techniques.catalogue import BUILTIN
from apps.agents.techniques.compatibility import compatibility, weight_shares

LIBRARIES = ("onnx", "onnxruntime")
PIXELS = TensorSpec(name="x", dtype="float32", shape=("N", 3, 8, 8))
DATA = DatasetSummary(kind="npz", task=Task.CLASSIFICATION, examples=100, inputs=(PIXELS,))


def _summary(**changes: Any) -> ModelSummary:
    given: dict[str, Any] = {
        "format": "onnx",
        "producer": "tests",
        "opset": 17,
        "inputs": (PIXELS,),
        "outputs": (),
        "parameters": 1000,
        "size_bytes": 4000,
        "operators": {"Conv": 5, "MatMul": 1, "Relu": 4},
        "weight_dtypes": {"float32": 990, "int64": 10},
    }
    return ModelSummary(**given | changes)


def _judged(
    summary: ModelSummary, installed: tuple[str, ...] | None = LIBRARIES, dataset: DatasetSummary | None = DATA
) -> dict[str, Compatibility]:
    return {entry.technique: entry for entry in compatibility(summary, installed, dataset)}


def test_a_float_network_takes_every_technique_and_is_told_on_what_it_works() -> None:
    judged = _judged(_summary(operators={"Conv": 5, "MatMul": 1, "Relu": 4, "LayerNormalization": 1}))
    untrained = [spec for spec in BUILTIN if "onnx" in spec.formats and not spec.needs_training]
    assert all(judged[spec.name].compatible for spec in untrained)
    assert judged["onnx-static-int8"].reason == "It works on 5 Conv, 1 MatMul."


def test_another_format_is_named() -> None:
    judged = _judged(_summary(format="caffe"))
    assert set(judged) == {"ONNX", "PyTorch", "TensorFlow", "LiteRT"}
    assert not judged["ONNX"].compatible
    assert judged["ONNX"].reason == "They take an ONNX model, but this model's format is caffe."


def test_techniques_of_another_framework_are_one_line() -> None:
    judged = _judged(_summary())
    assert not [name for name in judged if name.startswith("torch-")]
    assert judged["PyTorch"].reason.startswith(
        "They take a PyTorch exported program, a TorchScript archive, a transformers folder or weights with a"
    )


def test_a_pytorch_model_takes_onnx_techniques_by_way_of_the_export() -> None:
    summary = _summary(format="transformers", operators={"Linear": 4, "Embedding": 1})
    judged = _judged(summary, installed=None)
    assert judged["onnx-dynamic-int8"].compatible
    assert judged["onnx-dynamic-int8"].reason == "It takes ONNX, to which the technique onnx-export exports this model."
    assert "onnxscript" in _judged(summary)["onnx-dynamic-int8"].reason


def test_a_pytorch_model_that_is_quantized_already_is_told_what_is_left() -> None:
    quantized = _summary(
        format="transformers",
        operators={"Linear": 4, "Embedding": 1},
        weight_dtypes={"uint8": 300, "float32": 700},
        quantization="bitsandbytes nf4",
    )
    judged = _judged(quantized, installed=None)
    assert not any(entry.compatible for entry in judged.values())
    assert "quantized already (bitsandbytes nf4). Only the 70%" in judged["torch-gptq"].reason


def test_what_is_in_half_precision_can_still_be_quantized_by_pytorch() -> None:
    halves = _summary(format="transformers", operators={"Linear": 4}, weight_dtypes={"bfloat16": 1000})
    judged = _judged(halves, installed=None)
    assert judged["torch-gptq"].compatible
    assert judged["onnx-dynamic-int8"].compatible, "the export is in float32"
    assert "half precision already" in judged["torch-half"].reason


def test_a_missing_library_is_named_unless_no_worker_has_spoken_yet() -> None:
    entry = _judged(_summary(), installed=("onnx",))["onnx-float16"]
    assert not entry.compatible
    assert "onnxruntime" in entry.reason
    assert _judged(_summary(), installed=None)["onnx-float16"].compatible


def test_without_data_only_what_calibrates_is_out() -> None:
    judged = _judged(_summary(operators={"MatMul": 1, "LayerNormalization": 1}), dataset=None)
    assert "calibration" in judged["onnx-static-int8"].reason
    assert {name for name, entry in judged.items() if not entry.compatible} == {
        *("onnx-static-int8", "onnx-smoothquant", "onnx-prune", "onnx-decompose", "onnx-recover"),
        *("onnx-equalize", "onnx-gptq", "onnx-adaround", "onnx-low-bits"),
        *("PyTorch", "TensorFlow", "LiteRT"),
    }


def test_an_onnx_model_is_trained_if_there_is_a_training_part_and_every_operator_can_be_rebuilt() -> None:
    def said(training: int = 40, installed: tuple[str, ...] | None = None, **changes: Any) -> Compatibility:
        dataset = DATA.model_copy(update={"training_examples": training})
        return _judged(_summary(**changes), installed, dataset)["onnx-recover"]

    assert said().compatible
    assert said(training=0).reason == "It trains the model, but the data set has no training part (training_share)."
    assert said(installed=LIBRARIES).reason == "No worker has torch installed."
    strange = said(operators={"Conv": 5, "GridSample": 1, "Round": 2})
    assert not strange.compatible
    assert strange.reason == "GridSample and Round cannot be rebuilt in PyTorch, so the model cannot be trained."
    assert "too coarse for small steps" in said(weight_dtypes={"float16": 10, "float32": 990}).reason


def test_what_runs_in_pytorch_has_no_teacher_in_other_frameworks() -> None:
    data = DATA.model_copy(update={"training_examples": 40})
    for given in ("keras", "tflite"):
        entry = _judged(_summary(format=given), None, data)["onnx-recover"]
        assert not entry.compatible
        assert entry.reason.startswith("It learns from the original in PyTorch, which cannot run a")
    assert _judged(_summary(format="torch-export"), None, data)["onnx-recover"].compatible


def test_operators_that_a_technique_needs_and_the_model_lacks_are_named() -> None:
    entry = _judged(_summary(operators={"Conv": 5}))["onnx-weight-only"]
    assert not entry.compatible
    assert "MatMul" in entry.reason


def test_a_quantized_model_has_little_left_to_win() -> None:
    quantized = _summary(
        operators={"Conv": 5, "MatMul": 1, "QuantizeLinear": 6, "DequantizeLinear": 9},
        weight_dtypes={"int8": 960, "float32": 40},
    )
    judged = _judged(quantized)
    assert "96% of its weights" in judged["onnx-static-int8"].reason
    assert "4% still in float32" in judged["onnx-static-int8"].reason
    assert {name for name, entry in judged.items() if entry.compatible} == {"onnx-graph"}


def test_a_partly_quantized_model_is_told_what_is_left() -> None:
    partly = _summary(operators={"MatMul": 2, "MatMulNBits": 2}, weight_dtypes={"uint8": 300, "float32": 700})
    entry = _judged(partly)["onnx-dynamic-int8"]
    assert entry.compatible
    assert "70% of the weights are still in float32" in entry.reason


def test_an_onnx_model_that_says_how_it_was_quantized_is_told_what_is_left() -> None:
    most = _summary(
        operators={"MatMulInteger": 9, "MatMul": 1}, weight_dtypes={"int8": 960, "float32": 40}, quantization="dynamic"
    )
    entry = _judged(most)["onnx-static-int8"]
    assert not entry.compatible
    assert "quantized already (dynamic). Only the 4%" in entry.reason
    whole = most.model_copy(update={"operators": {"MatMulInteger": 9}})
    assert "quantized already (dynamic)" in _judged(whole)["onnx-dynamic-int8"].reason, "not that it lacks a MatMul"
    partly = most.model_copy(update={"weight_dtypes": {"int8": 300, "float32": 700}})
    assert _judged(partly)["onnx-static-int8"].compatible, "operators are quantized one by one"


def test_int8_starts_from_halves_in_onnx_as_well() -> None:
    judged = _judged(_summary(weight_dtypes={"float16": 1000}))
    assert judged["onnx-static-int8"].compatible
    assert not judged["onnx-float16"].compatible


def test_half_precision_and_no_weights_at_all_are_told_apart() -> None:
    halves = _judged(_summary(weight_dtypes={"float16": 1000}))
    assert "half precision" in halves["onnx-float16"].reason
    empty = _judged(_summary(weight_dtypes={"int64": 10}))
    assert "does not store weights" in empty["onnx-float16"].reason


def test_indices_are_no_weights() -> None:
    assert weight_shares(_summary(weight_dtypes={"float32": 30, "int8": 10, "int64": 999})) == (0.75, 0.0, 0.25)


def test_it_is_light_enough_for_the_page() -> None:
    script = (
        "import sys, apps.agents.techniques.compatibility, apps.agents.files.archives\n"
        "import apps.agents.files.sniffing, apps.agents.measuring.machine\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'torch', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
