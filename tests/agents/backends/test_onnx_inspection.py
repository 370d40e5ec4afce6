from __future__ import annotations

import pickle
import random
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper

from apps.agents.backends.onnx.files import load_proto
from apps.agents.backends.onnx.inspection import NEWEST_OPSET, OLDEST_OPSET, VALUES_UNKNOWN, inspect
from apps.agents.contracts.errors.archives import ArchiveBomb, ArchivePathEscape
from apps.agents.contracts.errors.models import (
    ArchiveWithoutModel,
    ExternalDataEscape,
    ExternalDataMissing,
    ModelEmpty,
    ModelInterfaceUnsupported,
    ModelMalformed,
    ModelTooLarge,
    ModelTruncated,
    ModelWrongType,
    OperatorsUnknown,
    OpsetUnsupported,
)
from apps.errors import UserError
from tests.agents import graphs


def _zipped(path: Path, *files: Path, **renamed: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, file.name)
        for name, file in renamed.items():
            archive.write(file, name.replace("__", "/"))
    return path


def _refused(path: Path, tmp_path: Path, error: type[UserError]) -> UserError:
    with pytest.raises(error) as caught:
        inspect(path, tmp_path)
    assert caught.value.message
    return caught.value


def _saved(model: ModelProto, tmp_path: Path) -> Path:
    return graphs.save(model, tmp_path / "blob")


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A folder with `model.onnx` and `weights.bin`."""
    folder = tmp_path / "exported"
    folder.mkdir()
    graphs.save_external(graphs.perceptron(), folder)
    return folder


# --- accepted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build", [graphs.perceptron, graphs.convolutions, graphs.attention, graphs.table, graphs.branches]
)
def test_a_sound_model_is_summarized(tmp_path: Path, build: Callable[[], ModelProto]) -> None:
    summary = inspect(_saved(build(), tmp_path), tmp_path)
    assert summary.format == "onnx"
    assert summary.producer == "tests 1"
    assert summary.opset == graphs.OPSET
    assert summary.parameters == sum(summary.weight_dtypes.values()) > 0


def test_a_zip_with_external_data_counts_all_of_its_bytes(tmp_path: Path, external: Path) -> None:
    blob = _zipped(tmp_path / "blob", external / "model.onnx", external / "weights.bin")
    summary = inspect(blob, tmp_path)
    assert summary.parameters == 67
    sizes = [(external / name).stat().st_size for name in ("model.onnx", "weights.bin")]
    assert summary.size_bytes == sum(sizes)


def test_a_zip_may_hold_the_model_in_a_folder(tmp_path: Path, external: Path) -> None:
    files = {"net__model.onnx": external / "model.onnx", "net__weights.bin": external / "weights.bin"}
    assert inspect(_zipped(tmp_path / "blob", **files), tmp_path).parameters == 67


def test_operators_of_the_runtime_itself_are_known(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gelu", ["x"], ["y"], name="gelu", domain="com.microsoft")]
    model = graphs.model_of(nodes, [graphs.value("x", 3)], [graphs.value("y", 3)], domains=["com.microsoft"])
    assert inspect(_saved(model, tmp_path), tmp_path).operators == {"Gelu": 1}


def test_functions_that_the_model_defines_are_known(tmp_path: Path) -> None:
    body = [helper.make_node("Mul", ["a", "a"], ["b"])]
    square = helper.make_function("own", "Square", ["a"], ["b"], body, [helper.make_opsetid("", graphs.OPSET)])
    nodes = [helper.make_node("Square", ["x"], ["y"], domain="own")]
    model = graphs.model_of(nodes, [graphs.value("x", 3)], [graphs.value("y", 3)], domains=["own"])
    model.functions.append(square)
    assert inspect(_saved(model, tmp_path), tmp_path).operators == {"Square": 1}


def test_shapes_may_stand_in_external_data_too(tmp_path: Path) -> None:
    weights = {"shape": np.array([-1, 2, 2], np.int64)}
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], name="reshape")]
    model = graphs.model_of(nodes, [graphs.value("x", "N", 4)], [graphs.value("y", "N", 2, 2)], weights)
    exported = graphs.save_external(model, tmp_path)
    blob = _zipped(tmp_path / "blob", exported, tmp_path / "weights.bin")
    assert inspect(blob, tmp_path).parameters == 3


def test_stale_notes_on_intermediate_shapes_are_forgiven(tmp_path: Path) -> None:
    model = graphs.perceptron()
    model.graph.value_info.append(graphs.value("h", "N", 99))
    assert inspect(_saved(model, tmp_path), tmp_path).parameters == 67


def merged_decoder() -> ModelProto:
    """As Optimum merges two: both branches compute shapes, and call what they compute the same."""

    def branch(name: str, *with_past: str) -> GraphProto:
        nodes = [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "second"], ["length"]),
            helper.make_node("Concat", ["one", "length", *with_past, "four"], ["all"], axis=0),
            helper.make_node("Slice", ["all", "zero", "three"], ["wanted"]),
            helper.make_node("Expand", ["bias", "one"], ["expanded"]),
            helper.make_node("Add", ["x", "expanded"], [f"y_{name}"]),
        ]
        return helper.make_graph(nodes, name, [], [graphs.value(f"y_{name}", "N", "S", 4)])

    branches = {"then_branch": branch("then", "one"), "else_branch": branch("else")}
    nodes = [helper.make_node("If", ["use"], ["y"], **branches)]
    numbers = {"second": [1], "one": [1], "four": [4], "zero": [0], "three": [3]}
    weights = {name: np.array(value, np.int64) for name, value in numbers.items()} | {"bias": np.ones(4, np.float32)}
    inputs = [graphs.value("x", "N", "S", 4), graphs.value("use", 1, dtype=TensorProto.BOOL)]
    return graphs.model_of(nodes, inputs, [graphs.value("y", "N", "S", 4)], weights)


def two_loops() -> ModelProto:
    """Each adds the number of rows three times, and calls what it computes as the other does."""
    nodes = [
        helper.make_node("Identity", ["go"], ["goes_on"]),
        helper.make_node("Shape", ["state"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["state", "real"], ["added"]),
    ]
    before = [graphs.value("i", dtype=TensorProto.INT64), graphs.value("go", dtype=TensorProto.BOOL)]
    after = [graphs.value("goes_on", dtype=TensorProto.BOOL), graphs.value("added", "N", 4)]
    body = helper.make_graph(nodes, "body", [*before, graphs.value("state", "N", 4)], after)
    loops = [
        helper.make_node("Loop", ["three", "yes", name], [out], body=body) for name, out in (("x", "h"), ("h", "y"))
    ]
    weights = {"three": np.array(3), "yes": np.array(True), "zero": np.array(0)}
    return graphs.model_of(loops, [graphs.value("x", "N", 4)], [graphs.value("y", "N", 4)], weights)


def standardized() -> ModelProto:
    """An operator that onnx writes as a function, whose body its own inference does not accept."""
    nodes = [helper.make_node("MeanVarianceNormalization", ["x"], ["y"])]
    return graphs.model_of(nodes, [graphs.value("x", "N", 3, 4, 4)], [graphs.value("y", "N", 3, 4, 4)])


@pytest.mark.parametrize("build", [merged_decoder, two_loops, standardized])
def test_graphs_that_onnx_cannot_follow_and_the_runtime_can_are_taken_with_a_note(
    tmp_path: Path, build: Callable[[], ModelProto]
) -> None:
    path = _saved(build(), tmp_path)
    with pytest.raises(onnx.shape_inference.InferenceError):
        onnx.shape_inference.infer_shapes(load_proto(path), strict_mode=True, data_prop=True)
    assert VALUES_UNKNOWN in inspect(path, tmp_path).notes


@pytest.mark.parametrize("opset", [OLDEST_OPSET, NEWEST_OPSET])
def test_the_runtime_takes_both_ends_of_the_range_of_opsets(tmp_path: Path, opset: int) -> None:
    path = _saved(graphs.perceptron(opset=opset), tmp_path)
    assert inspect(path, tmp_path).opset == opset
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.zeros((1, 4), np.float32)})[0].shape == (1, 3)


# --- refused ---------------------------------------------------------------------------------------------------------


def test_outputs_that_are_not_as_declared_are_refused_whatever_onnx_cannot_follow(tmp_path: Path) -> None:
    model = standardized()
    model.graph.node.append(helper.make_node("Relu", ["x"], ["z"]))
    model.graph.output.append(graphs.value("z", "N", 5, 4, 4))
    _refused(_saved(model, tmp_path), tmp_path, ModelMalformed)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (pickle.dumps([1]), "pickle"),
        (b"<!doctype html><html></html>", "HTML"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(99), "TensorFlow Lite"),
        (b"", "empty"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert named in _refused(path, tmp_path, ModelWrongType).message


TENSOR = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 2])
NO_TENSORS = [
    (helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, TENSOR)), "zipmap=False"),
    (helper.make_map_type_proto(TensorProto.STRING, TENSOR), "zipmap=False"),
    (helper.make_sequence_type_proto(TENSOR), "one for each part"),
    (helper.make_optional_type_proto(TENSOR), "always present"),
    (helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, ["N", 2]), "dense"),
]


@pytest.mark.parametrize(("kind", "advice"), NO_TENSORS)
@pytest.mark.parametrize("end", ["input", "output"])
def test_what_is_no_tensor_is_refused_with_what_to_change(
    tmp_path: Path, kind: onnx.TypeProto, advice: str, end: str
) -> None:
    info = helper.make_value_info("odd", kind)
    inputs, outputs = [graphs.value("x", "N", 2)], [graphs.value("y", "N", 2)]
    (inputs if end == "input" else outputs).append(info)
    model = graphs.model_of([helper.make_node("Relu", ["x"], ["y"])], inputs, outputs)
    error = _refused(_saved(model, tmp_path), tmp_path, ModelInterfaceUnsupported)
    assert advice in error.message
    assert f"{end} 'odd'" in error.message


def test_a_zip_of_something_else_is_named(tmp_path: Path) -> None:
    for name in ("archive/data.pkl", "y.npy"):
        with zipfile.ZipFile(tmp_path / "blob", "w") as archive:
            archive.writestr(name, b"content")
        _refused(tmp_path / "blob", tmp_path, ModelWrongType)


def test_a_zip_needs_exactly_one_model(tmp_path: Path) -> None:
    model = _saved(graphs.perceptron(), tmp_path)
    two = {"a.onnx": model, "b.onnx": model}
    assert "a.onnx, b.onnx" in _refused(_zipped(tmp_path / "z", **two), tmp_path, ArchiveWithoutModel).message
    _refused(_zipped(tmp_path / "none", **{"readme.txt": model}), tmp_path, ArchiveWithoutModel)


def test_a_zip_whose_model_is_none_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(pickle.dumps({}))
    error = _refused(_zipped(tmp_path / "blob", tmp_path / "model.onnx"), tmp_path, ModelWrongType)
    assert "pickle" in error.message


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = _saved(graphs.convolutions(), tmp_path)
    path.write_bytes(path.read_bytes()[:-500])
    _refused(path, tmp_path, ModelTruncated)


@pytest.mark.parametrize("opset", [OLDEST_OPSET - 1, NEWEST_OPSET + 1])
def test_an_opset_outside_the_range_is_refused(tmp_path: Path, opset: int) -> None:
    model = graphs.perceptron()
    model.opset_import[0].version = opset
    error = _refused(_saved(model, tmp_path), tmp_path, OpsetUnsupported)
    assert f"opset {opset}" in error.message
    assert f"{OLDEST_OPSET} to {NEWEST_OPSET}" in error.message


def test_a_file_format_from_the_future_is_refused(tmp_path: Path) -> None:
    model = graphs.perceptron()
    model.ir_version = 99
    _refused(_saved(model, tmp_path), tmp_path, OpsetUnsupported)


def test_custom_operators_are_listed_with_their_domain(tmp_path: Path) -> None:
    error = _refused(_saved(graphs.with_custom_operator(), tmp_path), tmp_path, OperatorsUnknown)
    assert "com.example::Sharpen (1×)" in error.message


def test_external_data_that_is_not_there_is_refused(tmp_path: Path, external: Path) -> None:
    error = _refused(_zipped(tmp_path / "blob", external / "model.onnx"), tmp_path, ExternalDataMissing)
    assert "weights.bin" in error.message


def test_external_data_that_is_too_short_is_refused(tmp_path: Path, external: Path) -> None:
    (external / "weights.bin").write_bytes(bytes(10))
    blob = _zipped(tmp_path / "blob", external / "model.onnx", external / "weights.bin")
    assert "10 bytes" in _refused(blob, tmp_path, ExternalDataMissing).message


def test_a_plain_file_may_not_borrow_its_neighbours_bytes(external: Path, tmp_path: Path) -> None:
    """In the store the neighbour is somebody else's blob."""
    _refused(external / "model.onnx", tmp_path, ExternalDataMissing)


@pytest.mark.parametrize(
    "location", ["../weights.bin", "/etc/passwd", "a/../../weights.bin", "..\\weights.bin", "C:\\w"]
)
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, external: Path, location: str) -> None:
    model = onnx.load(str(external / "model.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    graphs.save(model, external / "model.onnx")
    blob = _zipped(tmp_path / "blob", external / "model.onnx", external / "weights.bin")
    _refused(blob, tmp_path, ExternalDataEscape)
    _refused(external / "model.onnx", tmp_path, ExternalDataEscape)


@pytest.mark.parametrize("entry", [("offset", "many"), ("length", "-5")])
def test_external_data_with_a_nonsensical_place_is_refused(
    tmp_path: Path, external: Path, entry: tuple[str, str]
) -> None:
    model = onnx.load(str(external / "model.onnx"), load_external_data=False)
    model.graph.initializer[0].external_data.add(key=entry[0], value=entry[1])
    graphs.save(model, external / "model.onnx")
    blob = _zipped(tmp_path / "blob", external / "model.onnx", external / "weights.bin")
    _refused(blob, tmp_path, ModelMalformed)


def test_a_graph_without_operators_or_outputs_is_refused(tmp_path: Path) -> None:
    nothing = graphs.model_of([], [graphs.value("x", 1)], [graphs.value("x", 1)])
    _refused(_saved(nothing, tmp_path), tmp_path, ModelEmpty)
    silent = graphs.perceptron()
    del silent.graph.output[:]
    _refused(_saved(silent, tmp_path), tmp_path, ModelEmpty)


def test_a_graph_that_reads_what_nobody_wrote_is_refused(tmp_path: Path) -> None:
    model = graphs.perceptron()
    model.graph.node[1].input[0] = "nowhere"
    assert "nowhere" in _refused(_saved(model, tmp_path), tmp_path, ModelMalformed).message


def test_shapes_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    model = graphs.perceptron()
    model.graph.output[0].CopyFrom(graphs.value("y", "N", 99))
    assert "shape inference" in _refused(_saved(model, tmp_path), tmp_path, ModelMalformed).message


def test_a_model_over_the_limit_is_refused_packed_and_unpacked(tmp_path: Path) -> None:
    model = graphs.perceptron()
    model.graph.initializer.add(name="zeros", data_type=TensorProto.FLOAT, dims=[25_000], raw_data=bytes(100_000))
    path = graphs.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelTooLarge):
        inspect(path, tmp_path, limit_bytes=99_000)
    with zipfile.ZipFile(tmp_path / "blob", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "model.onnx")
    assert (tmp_path / "blob").stat().st_size < 99_000
    with pytest.raises(ArchiveBomb):
        inspect(tmp_path / "blob", tmp_path, limit_bytes=99_000)


def test_an_escaping_path_in_the_archive_is_refused(tmp_path: Path) -> None:
    model = _saved(graphs.perceptron(), tmp_path)
    _refused(_zipped(tmp_path / "z", **{"model.onnx": model, "..__evil": model}), tmp_path, ArchivePathEscape)


def test_a_file_that_protobuf_cannot_parse_is_refused(tmp_path: Path) -> None:
    path = _saved(graphs.perceptron(), tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelMalformed):
        load_proto(path)


@pytest.mark.parametrize("build", [graphs.perceptron, graphs.branches, graphs.convolutions])
def test_random_damage_is_accepted_or_refused_with_a_code(tmp_path: Path, build: Callable[[], ModelProto]) -> None:
    """Truncations and flipped bytes: never another exception."""
    dice, content = random.Random(3), build().SerializeToString()
    path = tmp_path / "blob"
    for _ in range(150):
        damaged = bytearray(content[: dice.randint(1, len(content))] if dice.random() < 0.3 else content)
        for _ in range(dice.randint(1, 3)):
            damaged[dice.randrange(len(damaged))] ^= dice.randint(1, 255)
        path.write_bytes(bytes(damaged))
        with suppress(UserError):
            inspect(path, tmp_path)


def test_an_operator_of_the_newest_set_that_the_runtime_has_no_code_for_is_refused(tmp_path: Path) -> None:
    weights = {"scale": np.float32(1).reshape(())}
    nodes = [helper.make_node("QuantizeLinear", ["x", "scale"], ["y"], name="quantize")]
    outputs = [graphs.value("y", "N", 4, dtype=TensorProto.UINT8)]
    model = graphs.model_of(nodes, [graphs.value("x", "N", 4)], outputs, weights, opset=NEWEST_OPSET)
    model.ir_version = onnx.IR_VERSION
    assert "7 to 27" in _refused(_saved(model, tmp_path), tmp_path, OpsetUnsupported).message


@pytest.mark.parametrize(("dtype", "notes"), [(np.float64, 1), (np.float32, 0)])
def test_that_a_number_type_does_not_run_on_a_cpu_is_noted(tmp_path: Path, dtype: type, notes: int) -> None:
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs, outputs = ([graphs.value(name, "N", 3, 4, 4, dtype=number)] for name in ("x", "y"))
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    model = graphs.model_of(nodes, inputs, outputs, {"w": np.ones((3, 3, 1, 1), dtype)})
    assert len(inspect(_saved(model, tmp_path), tmp_path).notes) == notes
