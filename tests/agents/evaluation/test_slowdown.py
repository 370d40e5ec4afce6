"""Why a candidate is slow: what the profiles of both models say, of values and of real models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.formats import Format
from apps.agents.contracts.phrasing import slowdown_in_words
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.slowdown import Slowdown
from apps.agents.datasets.loading import Arrays, load_dataset
from apps.agents.evaluation.slowdown import Profiled, explain, is_slow, slowdown_of
from apps.agents.measuring.engine import Engine, open_engine
from apps.agents.measuring.operator_times import TimedOperator, family
from tests.agents.litert_files import Function, litert_file
from tests.optimization import material

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
RESNET, MOBILENET, IMAGES = (
    SAMPLES / name for name in ("fashion_resnet.onnx", "fashion_mobilenet.onnx", "fashion_mnist_test.npz")
)
MACHINE = Machine(
    hostname="here", cpu="", cores=1, memory_bytes=1, flags=("avx2", "fma"), system="", python="", libraries={}
)
VNNI = MACHINE.model_copy(update={"flags": ("avx2", "avx512_vnni")})


def profiled(*operators: tuple[str, str, float]) -> Profiled:
    times = tuple(TimedOperator(name, op_type, time_ms) for name, op_type, time_ms in operators)
    return Profiled(times, Counter(one.op_type for one in times))


def reported(speedup: float) -> EvaluationReport:
    return material.evaluation(speedup=speedup)


FLOAT = profiled(("stem", "Conv", 1.0), ("body", "Conv", 3.0), ("head", "Gemm", 0.5), ("pool", "AveragePool", 0.1))
DYNAMIC = profiled(
    ("stem_quant", "ConvInteger", 6.0),
    ("body_quant", "ConvInteger", 12.0),
    ("head_MatMul_quant", "DynamicQuantizeMatMul", 0.2),
    ("pool", "AveragePool", 0.1),
    ("x_QuantizeLinear", "DynamicQuantizeLinear", 0.4),
    ("y_cast", "Cast", 0.3),
)


@pytest.mark.parametrize(
    ("speedup", "predicted", "slow"),
    [
        (1.04, None, True),
        (1.06, None, False),
        (1.06, 1.1, False),
        (1.5, 3.1, True),
        (1.5, 2.9, False),
        (0.3, 0.3, True),
    ],
)
def test_a_candidate_is_slow_where_somebody_will_ask_why(speedup: float, predicted: float | None, slow: bool) -> None:
    assert is_slow(reported(speedup), predicted) is slow


def test_operators_are_held_together_by_what_they_compute() -> None:
    found = explain(FLOAT, DYNAMIC, VNNI, Target(), 0.25)
    first, last = found.operators[0], found.operators[-1]
    assert (first.name, first.original_count, first.candidate_count) == ("Conv → ConvInteger", 2, 2)
    assert (first.original_ms, first.candidate_ms, first.difference_ms) == pytest.approx((4.0, 18.0, 14.0))
    assert (last.name, last.difference_ms) == ("Gemm → DynamicQuantizeMatMul", pytest.approx(-0.3))
    assert len(found.operators) == 2, "what takes as long as before is no answer"
    assert (found.original_ms, found.candidate_ms) == pytest.approx((4.6, 19.0))


def test_layers_are_matched_under_the_names_that_the_quantizer_gives_them() -> None:
    layers = explain(FLOAT, DYNAMIC, VNNI, Target(), 0.25).layers
    assert [(one.name, one.difference_ms) for one in layers] == [("body", 9.0), ("stem", 5.0)]


def test_conversions_stand_alone_with_their_number_and_time() -> None:
    found = explain(FLOAT, DYNAMIC, VNNI, Target(), 0.25)
    assert [(one.kind, one.original_count, one.count, one.ms) for one in found.conversions] == [
        ("DynamicQuantizeLinear", 0, 1, 0.4),
        ("Cast", 0, 1, 0.3),
    ]
    assert any("take 0.7 ms of the 19 ms" in hint for hint in found.hints)


def test_a_slow_kernel_is_named_with_what_runs_faster() -> None:
    assert any(hint.startswith("ConvInteger is") for hint in explain(FLOAT, DYNAMIC, VNNI, Target(), 0.25).hints)


def test_missing_instructions_are_named_where_integers_are_computed() -> None:
    def lacking(candidate: Profiled, machine: Machine, target: Target) -> bool:
        return any("VNNI" in hint for hint in explain(FLOAT, candidate, machine, target, 0.25).hints)

    assert lacking(DYNAMIC, MACHINE, Target())
    assert not lacking(DYNAMIC, VNNI, Target())
    assert not lacking(FLOAT, MACHINE, Target()), "it computes no integers"
    assert not lacking(DYNAMIC, MACHINE, Target(device=Device.CUDA))
    assert not lacking(DYNAMIC, MACHINE.model_copy(update={"flags": ()}), Target()), "nobody knows what it has"


def test_operators_that_take_no_longer_are_not_blamed() -> None:
    found = explain(FLOAT, FLOAT, VNNI, Target(), 0.8)
    assert found.operators == ()
    assert any("is spent between the operators" in hint for hint in found.hints)
    assert explain(FLOAT, FLOAT, VNNI, Target(), 1.02).hints == ()


def test_without_times_the_structure_is_told() -> None:
    before = Profiled(None, Counter({"Conv2D": 8, "MatMul": 1}))
    after = Profiled(None, Counter({"CONV_2D": 8, "FULLY_CONNECTED": 1, "QUANTIZE": 2, "DEQUANTIZE": 3}))
    found = explain(before, after, VNNI, Target(), 0.5)
    assert [(one.kind, one.count, one.ms) for one in found.conversions] == [
        ("DEQUANTIZE", 3, None),
        ("QUANTIZE", 2, None),
    ]
    assert {one.name for one in found.operators} == {"Conv2D → CONV_2D", "MatMul → FULLY_CONNECTED"}
    assert all(one.difference_ms is None for one in found.operators)
    assert found.original_ms is None
    assert found.hints == ("Conversions, which compute nothing, were inserted: 3 DEQUANTIZE, 2 QUANTIZE.",)


@pytest.mark.parametrize(
    ("op_type", "computes"),
    [
        ("QLinearConv", "convolution"),
        ("NhwcFusedConv", "convolution"),
        ("DEPTHWISE_CONV_2D", "convolution"),
        ("MatMulNBits", "matrix product"),
        ("Linear4bit", "matrix product"),
        ("QLinearAveragePool", "AveragePool"),
        ("DequantizeLinear", "DequantizeLinear"),
        ("Softmax", "Softmax"),
    ],
)
def test_an_operator_belongs_to_what_it_computes(op_type: str, computes: str) -> None:
    assert family(op_type) == computes


# --- real models -----------------------------------------------------------------------------------------------------


class _Reader(CalibrationDataReader):
    def __init__(self, model: Path, folder: Path) -> None:
        inputs = open_engine("onnx", model, folder).summary.inputs
        spec = DatasetSpec(kind="npz", task="classification")
        self._batches = load_dataset(IMAGES, spec, inputs, seed=1).calibration(32)

    def get_next(self) -> Arrays | None:
        return next(self._batches, None)


def found_by(original: Path, candidate: Path, folder: Path) -> Slowdown:
    before, after = open_engine("onnx", original, folder), open_engine("onnx", candidate, folder)
    feeds = {before.summary.inputs[0].name: np.random.default_rng(0).random((1, 1, 28, 28), np.float32)}
    report = reported(0.2).model_copy(update={"machine": VNNI})
    return slowdown_of(before, after, feeds, Target(), report)


def test_dynamic_int8_of_a_convolutional_net_is_slow_for_its_kernel(tmp_path: Path) -> None:
    quantize_dynamic(RESNET, tmp_path / "dynamic.onnx", weight_type=QuantType.QInt8)
    found = found_by(RESNET, tmp_path / "dynamic.onnx", tmp_path)

    grown = found.operators[0]
    assert grown.name == "Conv → ConvInteger"
    assert (grown.original_count, grown.candidate_count) == (8, 8)
    assert grown.candidate_ms is not None
    assert grown.original_ms is not None
    assert grown.candidate_ms > 2 * grown.original_ms
    assert {one.kind for one in found.conversions} >= {"DynamicQuantizeLinear", "Cast"}
    assert found.layers[0].name.startswith("blocks."), "its layers keep the names of the original's"
    assert found.hints[0].startswith("ConvInteger is")
    assert slowdown_in_words(found).startswith("Conv → ConvInteger takes ")


def test_sixteen_bit_activations_run_in_float_between_conversions(tmp_path: Path) -> None:
    options = {"activation_type": QuantType.QUInt16, "weight_type": QuantType.QInt8}
    more = {"quant_format": QuantFormat.QDQ, "extra_options": {"UseQDQContribOps": True}}
    quantize_static(RESNET, tmp_path / "wide.onnx", _Reader(RESNET, tmp_path), **options, **more)
    found = found_by(RESNET, tmp_path / "wide.onnx", tmp_path)

    assert {"QuantizeLinear", "DequantizeLinear"} <= {one.kind for one in found.conversions}
    (island,) = [hint for hint in found.hints if "convolutions run in float" in hint]
    assert island.startswith("8 of 8 ")
    assert "(uint16)" in island
    assert island.endswith("The runtime has no integer kernel for 16-bit numbers.")


def test_islands_of_a_depthwise_net_are_counted(tmp_path: Path) -> None:
    """Signed activations: the runtime fuses some convolutions with their conversions, and leaves others."""
    options = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8, "per_channel": True}
    target = tmp_path / "signed.onnx"
    quantize_static(MOBILENET, target, _Reader(MOBILENET, tmp_path), quant_format=QuantFormat.QDQ, **options)
    found = found_by(MOBILENET, target, tmp_path)

    (island,) = [hint for hint in found.hints if "convolutions run in float" in hint]
    count, total = (int(word) for word in island.split()[0:3:2])
    assert 0 < count < total
    assert "16-bit" not in island
    assert next(one.count for one in found.conversions if one.kind == "DequantizeLinear") > count


class _Unwilling:
    """An engine whose profiler fails."""

    def __init__(self, engine: Engine) -> None:
        self.summary = engine.summary

    def profile(self, feeds: Arrays, target: Target, runs: int) -> None:
        raise ModelRunFailed(reason="the profiler is away")


def test_a_profile_that_fails_costs_the_table_and_not_the_evaluation(tmp_path: Path) -> None:
    engine = open_engine("onnx", RESNET, tmp_path)
    feeds = {"image": np.zeros((1, 1, 28, 28), np.float32)}
    found = slowdown_of(engine, _Unwilling(engine), feeds, Target(), reported(0.2))  # type: ignore[arg-type]
    assert found.original_ms is not None
    assert found.candidate_ms is None
    assert any(hint.startswith("The candidate could not be profiled") for hint in found.hints)


def test_a_slow_model_is_profiled_fewer_times() -> None:
    runs = []

    class Counting(_Unwilling):
        def profile(self, feeds: Arrays, target: Target, runs_: int) -> None:
            runs.append(runs_)

    engine = Counting(cast(Engine, SimpleNamespace(summary=material.MODEL)))
    slow = reported(0.2).latency.model_copy(
        update={"candidate": material.latency(5000.0), "speedup": Estimate(value=0.0002)}
    )
    slowdown_of(engine, engine, {}, Target(), reported(0.2).model_copy(update={"latency": slow}))  # type: ignore[arg-type]
    assert runs == [10, 1]


def test_a_litert_file_is_told_by_its_structure(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(litert_file(Function("serving_default")))
    engine = open_engine(Format.TFLITE, path, tmp_path)
    found = slowdown_of(engine, engine, {}, Target(), reported(0.2))
    assert (found.original_ms, found.candidate_ms) == (None, None)
    assert [hint for hint in found.hints if "runs as a whole" in hint]
