"""TensorFlow Lite files: honest ones as inspection tells them, and damaged ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from apps.agents.backends.litert.flatbuffer import parse_litert
from apps.agents.backends.litert.inspection import inspect
from apps.agents.contracts.errors.litert_models import LiteRtDamaged
from apps.agents.contracts.errors.models import ModelEmpty, ModelTooLarge, OperatorsUnknown
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.errors import UserError
from tests.tensorflow import uploads


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return uploads.litert(tmp_path_factory.mktemp("litert") / "model.tflite").read_bytes()


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def changed(content: bytes, change: Callable[[Any], object]) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    change(model)
    return packed(model)


def written(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return path


def test_an_honest_model_passes(content: bytes, tmp_path: Path) -> None:
    summary = inspect(written(content, tmp_path), tmp_path)
    assert [str(spec) for spec in summary.inputs] == ["pictures: float32[?, 8, 8, 3]"]
    assert [spec.shape for spec in summary.outputs] == [(None, 2)]
    assert summary.signature == "serving_default"
    assert summary.operators == {"CONV_2D": 1, "MEAN": 1, "MUL": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}


def test_a_quantized_model_says_how_numbers_are_converted(tmp_path: Path) -> None:
    summary = inspect(uploads.litert(tmp_path / "model.tflite", quantized=True), tmp_path)
    assert summary.inputs[0].dtype == "float32"
    assert summary.inputs[0].quantized is not None
    assert summary.inputs[0].quantized.dtype == "int8"
    assert summary.weight_dtypes["int8"] > 0


def test_a_model_without_signatures_is_taken_by_its_tensors(content: bytes, tmp_path: Path) -> None:
    without = changed(content, lambda model: setattr(model, "signatureDefs", None))
    summary = inspect(written(without, tmp_path), tmp_path)
    assert summary.signature is None
    assert summary.inputs[0].shape == (None, 8, 8, 3)


def test_operators_of_tensorflow_itself_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(OperatorsUnknown, match="FlexMatrixInverse"):
        inspect(uploads.flexible(tmp_path / "model.tflite"), tmp_path)


def test_a_custom_operator_is_refused(content: bytes, tmp_path: Path) -> None:
    def custom(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = "Mine"

    with pytest.raises(OperatorsUnknown, match="Mine"):
        inspect(written(changed(content, custom), tmp_path), tmp_path)


def graph(model: Any) -> Any:
    return model.subgraphs[0]


DAMAGE: dict[str, Callable[[Any], object]] = {
    "an operator reads a tensor that is not there": lambda m: graph(m).operators[0].inputs.__setitem__(0, 999),
    "an operator reads a tensor before the first": lambda m: graph(m).operators[0].inputs.__setitem__(0, -2),
    "an operator has a code that is not there": lambda m: setattr(graph(m).operators[0], "opcodeIndex", 999),
    "a tensor has a buffer that is not there": lambda m: setattr(graph(m).tensors[0], "buffer", 999),
    "a tensor has an unknown type": lambda m: setattr(graph(m).tensors[0], "type", 99),
    "a signature names a tensor that is not there": lambda m: setattr(m.signatureDefs[0].inputs[0], "tensorIndex", 999),
    "there is no subgraph": lambda m: setattr(m, "subgraphs", []),
    "there are no subgraphs at all": lambda m: setattr(m, "subgraphs", None),
    "there are no buffers": lambda m: setattr(m, "buffers", []),
    "numbers lie behind the end": lambda m: [vars(one).update(offset=1 << 40, size=8) for one in m.buffers],
    "an unknown operator": lambda m: setattr(m.operatorCodes[0], "builtinCode", 30_000),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_points_nowhere_is_refused(damage: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(LiteRtDamaged):
        inspect(written(changed(content, DAMAGE[damage]), tmp_path), tmp_path)


def test_an_empty_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelEmpty, match="operators"):
        parse_litert(changed(content, lambda model: setattr(graph(model), "operators", [])))
    with pytest.raises(ModelEmpty, match="outputs"):
        parse_litert(changed(content, lambda model: setattr(model.signatureDefs[0], "outputs", [])))


def test_weights_of_another_shape_than_their_numbers_are_refused(content: bytes, tmp_path: Path) -> None:
    def grow(model: Any) -> None:
        tensor = next(one for one in graph(model).tensors if model.buffers[one.buffer].data is not None)
        tensor.shape = [1 << 30, 1 << 30]
        tensor.shapeSignature = None

    with pytest.raises(ModelNotLoadable):
        inspect(written(changed(content, grow), tmp_path), tmp_path)


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf"), -1.0])
def test_a_scale_that_is_no_positive_number_is_refused(scale: float, tmp_path: Path) -> None:
    content = uploads.litert(tmp_path / "whole.tflite", quantized=True).read_bytes()

    def scaled(model: Any) -> None:
        graph(model).tensors[model.signatureDefs[0].inputs[0].tensorIndex].quantization.scale = [scale]

    with pytest.raises(LiteRtDamaged, match="scale"):
        parse_litert(changed(content, scaled))


def test_a_small_file_that_describes_a_huge_model_is_refused() -> None:
    """Every entry of the list of subgraphs is the same one, and every operator of that is the same one, too."""
    builder = flatbuffers.Builder(0)
    schema.OperatorStart(builder)
    operator = schema.OperatorEnd(builder)
    many = 6_000
    schema.SubGraphStartOperatorsVector(builder, many)
    for _ in range(many):
        builder.PrependUOffsetTRelative(operator)
    operators = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddOperators(builder, operators)
    one = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, many)
    for _ in range(many):
        builder.PrependUOffsetTRelative(one)
    subgraphs = builder.EndVector()
    code = schema.OperatorCodeT()
    codes = code.Pack(builder)
    schema.ModelStartOperatorCodesVector(builder, 1)
    builder.PrependUOffsetTRelative(codes)
    listed = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddOperatorCodes(builder, listed)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    with pytest.raises(LiteRtDamaged, match="more parts than its bytes can contain"):
        parse_litert(bytes(builder.Output()))


def test_a_file_cut_off_anywhere_is_refused(content: bytes, tmp_path: Path) -> None:
    for length in range(0, len(content) - 200, 97):
        with pytest.raises(UserError):
            inspect(written(content[:length], tmp_path), tmp_path)


def test_flipped_bytes_never_raise_anything_but_refusals(content: bytes, tmp_path: Path) -> None:
    chance, refused = random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 3, 8))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 128, 255))
        try:
            inspect(written(bytes(damaged), tmp_path), tmp_path)
        except UserError:
            refused += 1
    assert refused > 50


def test_the_size_of_the_file_is_limited(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelTooLarge):
        inspect(written(content, tmp_path), tmp_path, limit_bytes=100)
