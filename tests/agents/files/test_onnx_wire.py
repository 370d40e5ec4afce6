from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

from apps.agents.contracts.errors.models import ModelMalformed, ModelTruncated
from apps.agents.files.onnx_wire import ELEMENT_TYPES, read_model, summarize
from tests.agents import graphs

IN_TMP = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
NAMES = st.text("abcxyz_/.:0é", min_size=1, max_size=8)
AXES = st.one_of(st.integers(0, 2**40), NAMES, st.none())
NUMPY_TYPES = [np.float32, np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64, np.bool_]


def by_onnx(model: ModelProto) -> dict[str, Any]:
    """What the library itself reads, in the words of `ModelSummary`."""
    dtypes: Counter[str] = Counter()
    operators: Counter[str] = Counter()

    def walk(graph: GraphProto) -> None:
        for tensor in graph.initializer:
            dtypes[ELEMENT_TYPES[tensor.data_type]] += int(np.prod(tensor.dims, dtype=np.int64))
        for node in graph.node:
            operators[node.op_type] += 1
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    walk(attribute.g)
                elif attribute.type == AttributeProto.TENSOR and node.op_type == "Constant":
                    dtypes[ELEMENT_TYPES[attribute.t.data_type]] += int(np.prod(attribute.t.dims, dtype=np.int64))

    def described(infos: Any) -> list[tuple[str, str, tuple[int | str | None, ...]]]:
        return [
            (
                info.name,
                ELEMENT_TYPES[info.type.tensor_type.elem_type],
                tuple(
                    axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
                    for axis in info.type.tensor_type.shape.dim
                ),
            )
            for info in infos
        ]

    walk(model.graph)
    stored = {tensor.name for tensor in model.graph.initializer}
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opset": next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None),
        "inputs": described(info for info in model.graph.input if info.name not in stored),
        "outputs": described(model.graph.output),
        "parameters": dtypes.total(),
        "operators": dict(operators),
        "weight_dtypes": dict(dtypes),
    }


def by_wire(path: Path) -> dict[str, Any]:
    summary = summarize(path)
    assert summary.size_bytes == path.stat().st_size
    assert summary.format == "onnx"
    found = summary.model_dump(include={"producer", "opset", "parameters", "operators", "weight_dtypes"})
    for end in ("inputs", "outputs"):
        found[end] = [(spec.name, spec.dtype, spec.shape) for spec in getattr(summary, end)]
    return found


@st.composite
def models(draw: st.DrawFn, depth: int = 0) -> ModelProto:
    """Models that need not be valid, only well formed: names, shapes, weights, constants, branches."""

    def graph(level: int) -> GraphProto:
        weights = [
            numpy_helper.from_array(np.zeros(draw(st.lists(st.integers(0, 3), max_size=3)), dtype), draw(NAMES))
            for dtype in draw(st.lists(st.sampled_from(NUMPY_TYPES), max_size=4))
        ]
        nodes = []
        for op_type in draw(st.lists(st.sampled_from(["Relu", "Add", "Constant", "If"]), max_size=5)):
            node = helper.make_node(op_type, ["x"], ["y"], domain=draw(st.sampled_from(["", "ai.onnx"])))
            if op_type == "Constant":
                node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.ones(3, np.float32))))
            if op_type == "If" and level < 2:
                node.attribute.append(helper.make_attribute("then_branch", graph(level + 1)))
            nodes.append(node)
        infos = [
            helper.make_tensor_value_info(draw(NAMES), TensorProto.FLOAT, draw(st.lists(AXES, max_size=4)))
            for _ in range(draw(st.integers(0, 3)))
        ]
        # Old exporters list initializers among the inputs.
        infos += [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in weights[:1]]
        return helper.make_graph(nodes, draw(NAMES), infos, infos[:1], weights)

    opsets = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("", draw(st.integers(1, 30)))]
    return helper.make_model(graph(0), opset_imports=opsets, producer_name=draw(NAMES), producer_version=draw(NAMES))


@IN_TMP
@given(model=models())
def test_it_reads_what_the_library_reads(tmp_path: Path, model: ModelProto) -> None:
    assert by_wire(graphs.save(model, tmp_path / "m.onnx")) == by_onnx(model)


@pytest.mark.parametrize(
    "build", [graphs.perceptron, graphs.convolutions, graphs.attention, graphs.table, graphs.branches]
)
def test_it_reads_real_graphs(tmp_path: Path, build: Any) -> None:
    model = build()
    assert by_wire(graphs.save(model, tmp_path / "m.onnx")) == by_onnx(model)


@pytest.mark.parametrize("name", ["fashion_resnet", "fashion_mobilenet"])
def test_it_reads_the_samples(name: str) -> None:
    path = Path(__file__).parents[3] / "samples" / f"{name}.onnx"
    assert by_wire(path) == by_onnx(onnx.load(str(path)))


def test_weights_listed_one_by_one_are_stepped_over(tmp_path: Path) -> None:
    model = graphs.perceptron()
    tensor = helper.make_tensor("w1", TensorProto.FLOAT, [4, 8], np.arange(32.0).tolist())
    model.graph.initializer[0].CopyFrom(tensor)
    assert by_wire(graphs.save(model, tmp_path / "m.onnx")) == by_onnx(model)


def test_external_data_is_named_with_its_place(tmp_path: Path) -> None:
    tensors = read_model(graphs.save_external(graphs.perceptron(), tmp_path)).tensors
    assert {tensor.external["location"] for tensor in tensors if tensor.external} == {"weights.bin"}
    assert sum(tensor.elements for tensor in tensors) == 67


def test_every_truncation_is_called_one(tmp_path: Path) -> None:
    """But for the few cuts between two fields, which leave a shorter message that is whole."""
    content = graphs.perceptron().SerializeToString()
    path, whole = tmp_path / "m.onnx", 0
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            read_model(path)
            whole += 1
        except ModelTruncated:
            continue
    assert whole <= 5


@IN_TMP
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_read_or_refused_and_nothing_else(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray(graphs.branches().SerializeToString())
    for place, change in flips:
        content[place % len(content)] ^= change
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(content))
    with suppress(ModelTruncated, ModelMalformed):
        summarize(path)


@pytest.mark.parametrize("placeholder", ["?", "", " ? ", "-1", "None", "unk", "*", -1])
def test_axes_without_a_name_are_free_of_each_other(tmp_path: Path, placeholder: str | int) -> None:
    """A data set of 48 × 192 pictures fits; two axes of one name would have to be as long as each other."""
    wanted = graphs.value("x", "N", 3, placeholder, placeholder)
    model = graphs.model_of([helper.make_node("Relu", ["x"], ["y"])], [wanted], [graphs.value("y")])
    (spec,) = summarize(graphs.save(model, tmp_path / "m.onnx")).inputs
    assert spec.shape == ("N", 3, None, None)


def test_names_that_a_converter_counts_are_names(tmp_path: Path) -> None:
    wanted = graphs.value("x", "unk__1", "unk__2")
    model = graphs.model_of([helper.make_node("Relu", ["x"], ["y"])], [wanted], [graphs.value("y")])
    assert summarize(graphs.save(model, tmp_path / "m.onnx")).inputs[0].shape == ("unk__1", "unk__2")


NARROW, WIDE = np.zeros((8, 8), np.int8), np.zeros((8, 8), np.float32)


@pytest.mark.parametrize(
    ("operators", "weight", "told"),
    [
        (["DynamicQuantizeLinear", "MatMulInteger"], NARROW, "dynamic: 1 DynamicQuantizeLinear, 1 MatMulInteger"),
        (["ConvInteger"], NARROW, "dynamic: 1 ConvInteger"),
        (["DynamicQuantizeMatMul"], NARROW, "dynamic: 1 DynamicQuantizeMatMul"),
        (["QLinearConv", "QLinearAdd", "Relu"], NARROW, "static: 1 QLinearAdd, 1 QLinearConv"),
        (["QGemm", "QAttention"], NARROW, "static: 1 QAttention, 1 QGemm"),
        (["MatMulNBits"], NARROW, "weights in blocks: 1 MatMulNBits"),
        (["QuantizeLinear", "DequantizeLinear"], NARROW, "QDQ: 1 QuantizeLinear, 1 DequantizeLinear"),
        (["DequantizeLinear", "MatMul"], NARROW, "weights only: 1 DequantizeLinear"),
        (
            ["QuantizeLinear", "DequantizeLinear"],
            WIDE,
            "QDQ around weights that are still floats: 1 QuantizeLinear, 1 DequantizeLinear",
        ),
        (["DequantizeLinear", "MatMul"], WIDE, None),
        (["Conv", "MatMul", "Gather"], NARROW, None),
    ],
)
def test_what_other_tools_have_quantized_is_recognised(
    tmp_path: Path, operators: list[str], weight: np.ndarray[Any, Any], told: str | None
) -> None:
    nodes = [helper.make_node(op_type, ["x"], ["y"], domain="any") for op_type in operators]
    model = graphs.model_of(nodes, [graphs.value("x", 8)], [graphs.value("y", 8)], {"w": weight})
    assert summarize(graphs.save(model, tmp_path / "m.onnx")).quantization == told


def test_operators_in_the_models_own_functions_count(tmp_path: Path) -> None:
    body = [helper.make_node("MatMulInteger", ["a", "b"], ["c"])]
    product = helper.make_function("own", "Product", ["a", "b"], ["c"], body, [helper.make_opsetid("", graphs.OPSET)])
    nodes = [helper.make_node("Product", ["x", "w"], ["y"], domain="own")]
    model = graphs.model_of(nodes, [graphs.value("x", 8)], [graphs.value("y", 8)], {"w": NARROW}, domains=["own"])
    model.functions.append(product)
    assert summarize(graphs.save(model, tmp_path / "m.onnx")).quantization == "dynamic: 1 MatMulInteger"


def test_graphs_inside_graphs_without_end_are_refused(tmp_path: Path) -> None:
    """The library cannot even write them: its limit is about as deep. Bytes can."""

    def field(number: int, content: bytes) -> bytes:
        length, low = divmod(len(content), 128)
        return bytes([number << 3 | 2, low | 128, length]) + content

    graph = b""
    for _ in range(60):
        graph = field(1, field(5, field(6, graph)))
    path = tmp_path / "m.onnx"
    path.write_bytes(field(7, graph))
    with pytest.raises(ModelMalformed, match="deep"):
        read_model(path)


def test_reading_needs_no_library_of_machine_learning_and_no_memory_for_weights(tmp_path: Path) -> None:
    """A model of 200 MB costs less than 20 MB over an empty interpreter's peak."""
    model = graphs.perceptron()
    tensor = model.graph.initializer.add(name="big", data_type=TensorProto.FLOAT, dims=[50_000_000])
    tensor.raw_data = bytes(200_000_000)
    path = graphs.save(model, tmp_path / "big.onnx")
    script = (
        "import resource, sys, pathlib\n"
        "from apps.agents.files.onnx_wire import summarize\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert summarize(pathlib.Path(sys.argv[1])).parameters == 50_000_067\n"
        "assert not {'numpy', 'onnx', 'onnxruntime', 'torch'} & set(sys.modules)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, cwd=root
    )
    assert int(done.stdout) < 20_000


def field_of(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


HUGE = varint(2**62)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (field_of(7, field_of(5, field_of(1, HUGE * 60_000))), "axes"),
        (field_of(7, field_of(5, field_of(1, HUGE * 2))), "more elements"),
        (field_of(7, field_of(5, field_of(1, HUGE)) * 2), "more elements"),
        (field_of(7, b"\x2a\x00" * 1_000_001), "1,000,000 tensors"),
        (field_of(7, b"\x62\x00" * 10_001), "outputs"),
        (field_of(7, b"\x5a\x00" * 10_001), "inputs"),
        (field_of(7, field_of(1, b"\x2a\x00" * 1_001)), "attributes"),
        (field_of(7, b"".join(field_of(1, field_of(4, b"%d" % kind)) for kind in range(10_001))), "kinds of operator"),
        (field_of(8, b"\x10" + varint(2**40)), "not a version"),
        (field_of(7, field_of(1, field_of(4, b"Re\x00lu"))), "zero byte"),
    ],
)
def test_a_file_that_would_exhaust_its_reader_is_refused(tmp_path: Path, model: bytes, reason: str):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x09" + model)
    with pytest.raises(ModelMalformed, match=reason):
        summarize(path)
