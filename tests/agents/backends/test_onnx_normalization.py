"""What converters write in ways that libraries of quantization stumble over, each as a model of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx import runtime
from apps.agents.backends.onnx.analysis import OnnxAnalysisEngine
from apps.agents.backends.onnx.normalization import NEWEST_QUANTIZED_OPSET, normalized, stored_bits
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from tests.agents import graphs
from tests.agents.workshop import DEPTHWISE, FIDELITY, RESNET, Workshop, loaded, operators, sqnr_db
from tests.sessions.machine import least_db

STATIC, DYNAMIC, FLOAT16 = "onnx-static-int8", "onnx-dynamic-int8", "onnx-float16"
NUMPY = {TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64}
PIXELS = graphs.rng().normal(size=(32, 3, 8, 8)).astype(np.float32)
ROWS = graphs.rng().normal(size=(32, 4)).astype(np.float32)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def weights(**shapes: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    random = graphs.rng()
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def perceptron(*before: onnx.NodeProto, dtype: int = TensorProto.FLOAT, ml: bool = False) -> ModelProto:
    """[N, 4] → `before`, from x to s → Gemm (64) → Relu → Gemm (32)."""
    nodes = [
        *before,
        helper.make_node("Gemm", ["s", "w1", "b1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name="second"),
    ]
    stored = weights(w1=(4, 64), b1=(64,), w2=(64, 32), b2=(32,))
    inputs = [graphs.value("x", "N", 4, dtype=dtype)]
    model = graphs.model_of(nodes, inputs, [graphs.value("y", "N", 32)], stored, domains=["ai.onnx.ml"] * ml)
    if ml:
        model.opset_import[1].version = 3
    return model


def two_convolutions(*, empty_end: bool = False) -> ModelProto:
    """Both add the bias `b`; the tensors `b0` and `b1` bear names that copies of it may get."""
    third = [""] if empty_end else ["b"]
    nodes = [
        helper.make_node("Conv", ["x", "w1", *third], ["b0"], name="c1", pads=[1] * 4),
        helper.make_node("Relu", ["b0"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w2", *third], ["b1"], name="c2", pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["b1"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["y"], name="flatten"),
    ]
    stored = weights(w1=(16, 3, 3, 3), w2=(16, 16, 3, 3), b=(16,))
    return graphs.model_of(nodes, [graphs.value("x", "N", 3, 8, 8)], [graphs.value("y", "N", 16)], stored)


def deconvolution(group: int, axes: int) -> ModelProto:
    kernel = (3,) * axes
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w", "b"], ["c"], name="spread", group=group, strides=[2] * axes),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["y"], name="flatten"),
    ]
    stored = weights(w=(8, 16 // group, *kernel), b=(16,))
    return graphs.model_of(nodes, [graphs.value("x", "N", 8, *(5,) * axes)], [graphs.value("y", "N", 16)], stored)


def named_as_quantization_names() -> ModelProto:
    """Tensors and nodes that are called what quantization calls its own, an input among them."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "w1_scale"], ["x_QuantizeLinear_Output"], name="x_QuantizeLinear"),
        helper.make_node("Relu", ["x_QuantizeLinear_Output"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2", "w1_zero_point"], ["g"], name="second"),
        helper.make_node("Mul", ["g", "x_scale"], ["y"], name="scaled"),
    ]
    stored = weights(w1=(4, 64), w1_scale=(64,), w2=(64, 32), w1_zero_point=(32,))
    inputs = [graphs.value("x", "N", 4), graphs.value("x_scale", "N", 1)]
    return graphs.model_of(nodes, inputs, [graphs.value("y", "N", 32)], stored)


def in_type(model: ModelProto, dtype: int) -> ModelProto:
    """`model` with every float32 in another type."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(NUMPY[dtype]), tensor.name))
    for info in (*model.graph.input, *model.graph.output):
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            info.type.tensor_type.elem_type = dtype
    return model


def quantized(
    workshop: Workshop, model: ModelProto, technique: str, **arrays: NDArray[np.generic]
) -> tuple[dict[str, int], ModelProto]:
    """Operators and graph of what a technique makes, whose outputs must still be the model's."""
    path = graphs.save(model, workshop.root / "model.onnx")
    made = workshop.apply(technique, path, workshop.examples(**arrays), FIDELITY)
    assert sqnr_db(made) > least_db(25)
    return operators(made), loaded(made)


# --- crashes of libraries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("technique", [STATIC, DYNAMIC])
@pytest.mark.parametrize("empty_end", [False, True])
def test_a_shared_bias_and_an_empty_input_at_the_end_are_no_obstacle(
    workshop: Workshop, technique: str, empty_end: bool
) -> None:
    found, _ = quantized(workshop, two_convolutions(empty_end=empty_end), technique, x=PIXELS)
    assert found.get("ConvInteger", 0) == 2 or found.get("QuantizeLinear", 0) > 2


@pytest.mark.parametrize("technique", [STATIC, DYNAMIC, FLOAT16])
@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Scaler", {"offset": [0.1] * 4, "scale": [0.5] * 4}),
        ("Normalizer", {"norm": "L2"}),
        ("Imputer", {"imputed_value_floats": [0.0], "replaced_value_float": 9.0}),
    ],
)
def test_preprocessing_of_scikit_learn_before_a_perceptron_is_no_obstacle(
    workshop: Workshop, technique: str, op_type: str, attributes: dict[str, object]
) -> None:
    before = helper.make_node(op_type, ["x"], ["s"], name="before", domain="ai.onnx.ml", **attributes)
    found, _ = quantized(workshop, perceptron(before, ml=True), technique, x=ROWS)
    assert found[op_type] == 1


@pytest.mark.parametrize(("group", "axes"), [(2, 2), (8, 1), (4, 3)])
def test_grouped_transposed_convolutions_are_quantized_by_channel(workshop: Workshop, group: int, axes: int) -> None:
    examples = graphs.rng().normal(size=(32, 8, *(5,) * axes)).astype(np.float32)
    found, graph = quantized(workshop, deconvolution(group, axes), STATIC, x=examples)
    assert found["ConvTranspose"] == 1
    scales = [tensor for tensor in graph.graph.initializer if tensor.name == "w_scale"]
    assert list(scales[0].dims) == [16 // group]


@pytest.mark.parametrize("technique", [STATIC, DYNAMIC])
def test_names_that_quantization_gives_may_be_taken(workshop: Workshop, technique: str) -> None:
    scale = np.ones((32, 1), np.float32)
    found, graph = quantized(workshop, named_as_quantization_names(), technique, x=ROWS, x_scale=scale)
    assert found.get("MatMulInteger", 0) == 2 or found.get("QuantizeLinear", 0) > 2
    assert [info.name for info in graph.graph.input] == ["x", "x_scale"]


def test_a_table_may_be_the_output_head_too(workshop: Workshop) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], name="embed"),
        helper.make_node("ReduceMean", ["rows"], ["mean"], name="mean", axes=[1], keepdims=0),
        helper.make_node("Gemm", ["mean", "table"], ["y"], name="head", transB=1),
    ]
    inputs, outputs = [graphs.value("ids", "N", 5, dtype=TensorProto.INT64)], [graphs.value("y", "N", 60)]
    model = graphs.model_of(nodes, inputs, outputs, weights(table=(60, 32)))
    _, graph = quantized(workshop, model, STATIC, ids=graphs.rng().integers(0, 60, (32, 5)))
    kinds = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) == 2}
    assert kinds == {TensorProto.INT8, TensorProto.UINT8}, "no copy in float is left"


def test_constants_may_be_nodes(workshop: Workshop) -> None:
    model = perceptron(helper.make_node("Identity", ["x"], ["s"], name="same"))
    constants = [helper.make_node("Constant", [], [one.name], value=one) for one in model.graph.initializer]
    nodes = [*constants, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    assert quantized(workshop, model, DYNAMIC, x=ROWS)[0]["MatMulInteger"] == 2


def test_stored_tensors_may_be_listed_as_inputs(workshop: Workshop) -> None:
    model = perceptron(helper.make_node("Identity", ["x"], ["s"], name="same"))
    model.ir_version, model.opset_import[0].version = 3, 9
    model.graph.input.extend(graphs.value(one.name, *one.dims) for one in model.graph.initializer)
    found, graph = quantized(workshop, model, DYNAMIC, x=ROWS)
    assert found["MatMulInteger"] == 2
    assert [info.name for info in graph.graph.input] == ["x"]


def test_what_is_stored_may_be_an_output(workshop: Workshop) -> None:
    model = perceptron(helper.make_node("Identity", ["x"], ["s"], name="same"))
    model.graph.output.append(graphs.value("b2", 32))
    path = graphs.save(model, workshop.root / "model.onnx")
    made = workshop.apply(FLOAT16, path, workshop.examples(x=ROWS), FIDELITY)
    assert [info.name for info in loaded(made).graph.output] == ["y", "b2"]


# --- number types -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("technique", [STATIC, DYNAMIC])
@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_floats_are_widened_or_narrowed_first(workshop: Workshop, dtype: int, technique: str) -> None:
    """float64 convolutions do not run in this runtime, products do."""
    model = in_type(perceptron(helper.make_node("Identity", ["x"], ["s"], name="same")), dtype)
    found, graph = quantized(workshop, model, technique, x=ROWS.astype(NUMPY[dtype]))
    told = next(line for line in workshop.told.lines if line.startswith("Rewritten"))
    assert float(told.split()[-5]) > 45, "half precision itself rounds to 11 bits"
    assert found.get("MatMulInteger", 0) == 2 or found.get("QuantizeLinear", 0) > 2
    ends = [*graph.graph.input, *graph.graph.output]
    assert {info.type.tensor_type.elem_type for info in ends} == {dtype}


def test_branches_are_widened_too(tmp_path: Path) -> None:
    model = graphs.branches()
    whole = in_type(graphs.branches(), TensorProto.DOUBLE)
    for attribute in whole.graph.node[2].attribute:
        for tensor in attribute.g.initializer:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
        attribute.g.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    path = graphs.save(whole, tmp_path / "double.onnx")
    widened = normalized(path, tmp_path, widen=True)
    assert widened != path
    for sign in (1, -1):
        (given,) = runtime.run(runtime.open_session(widened), {"x": sign * np.abs(ROWS).astype(np.float64)})
        (wanted,) = runtime.run(
            runtime.open_session(graphs.save(model, tmp_path / "float.onnx")), {"x": sign * np.abs(ROWS)}
        )
        assert given.dtype == np.float64
        np.testing.assert_allclose(given, wanted, rtol=1e-5)


def test_layers_of_a_half_precision_model_take_what_the_file_stores(tmp_path: Path) -> None:
    model = in_type(perceptron(helper.make_node("Identity", ["x"], ["s"], name="same")), TensorProto.FLOAT16)
    path = graphs.save(model, tmp_path / "half.onnx")
    engine = OnnxAnalysisEngine(path, tmp_path)
    layers = {layer.name: layer for layer in engine.layers([{"x": ROWS.astype(np.float16)}])}
    assert stored_bits(path) == 16
    assert layers["second"].weight_bytes == 2 * (64 * 32 + 32)
    assert any("float32" in note for note in engine.notes())


# --- sets of operators ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [graphs.perceptron, graphs.convolutions])
def test_the_newest_set_of_operators_can_be_quantized(workshop: Workshop, build: Callable[[], ModelProto]) -> None:
    model = build()
    model.ir_version, model.opset_import[0].version = onnx.IR_VERSION, onnx.defs.onnx_opset_version()
    examples = ROWS if build is graphs.perceptron else PIXELS
    found, graph = quantized(workshop, model, STATIC, x=examples)
    assert found["QuantizeLinear"] > 1
    assert graph.opset_import[0].version == NEWEST_QUANTIZED_OPSET


def test_the_runtime_does_not_quantize_in_a_newer_set() -> None:
    """When it does, `NEWEST_QUANTIZED_OPSET` can go up."""
    nodes = [helper.make_node("QuantizeLinear", ["x", "s"], ["y"], name="quantize")]
    outputs = [graphs.value("y", "N", 4, dtype=TensorProto.UINT8)]
    refused = []
    for opset in (NEWEST_QUANTIZED_OPSET, NEWEST_QUANTIZED_OPSET + 1):
        model = graphs.model_of(nodes, [graphs.value("x", "N", 4)], outputs, {"s": np.float32(1).reshape(())})
        model.ir_version, model.opset_import[0].version = onnx.IR_VERSION, opset
        try:
            runtime.open_session(model.SerializeToString())
        except runtime.ModelNotLoadable:
            refused.append(opset)
    assert refused == [NEWEST_QUANTIZED_OPSET + 1]


# --- infinities by design ---------------------------------------------------------------------------------------------


def masked(op_type: str) -> ModelProto:
    """Every fifth class is minus infinity; with `Max` none is, though the mask is."""
    model = perceptron(helper.make_node("Identity", ["x"], ["s"], name="same"))
    model.graph.node[-1].output[0] = "scores"
    model.graph.node.append(helper.make_node(op_type, ["scores", "mask"], ["y"], name="masked"))
    mask = np.where(np.arange(32) % 5, 0, -np.inf).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    return model


@pytest.mark.parametrize("op_type", ["Add", "Max"])
@pytest.mark.parametrize("technique", [STATIC, DYNAMIC, FLOAT16])
def test_what_is_infinite_by_design_stays_so(workshop: Workshop, technique: str, op_type: str) -> None:
    quantized(workshop, masked(op_type), technique, x=ROWS)


def test_the_sensitivity_leaves_out_what_infinities_go_through(tmp_path: Path) -> None:
    engine = OnnxAnalysisEngine(graphs.save(masked("Add"), tmp_path / "masked.onnx"), tmp_path)
    found = engine.sensitivity([{"x": ROWS}], ["first", "second", "masked"], budget_s=5, tell=lambda *_: None)
    assert set(found.layers) >= {"first", "second"}
    assert "masked" not in found.layers


# --- what needs nothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [RESNET, DEPTHWISE])
def test_a_graph_in_order_is_taken_as_it_is(tmp_path: Path, model: Path) -> None:
    assert normalized(model, tmp_path, widen=True) == model


def test_one_constant_in_double_is_no_reason_to_rewrite(tmp_path: Path) -> None:
    model = perceptron(helper.make_node("Identity", ["x"], ["s"], name="same"))
    model.graph.initializer.append(numpy_helper.from_array(np.float64(1), "unread"))
    path = graphs.save(model, tmp_path / "model.onnx")
    assert normalized(path, tmp_path, widen=True) == path
    assert stored_bits(path) == 32


# --- what cannot be quantized -----------------------------------------------------------------------------------------


def test_what_was_quantized_around_weights_in_float_is_stored_by_graph_optimization(workshop: Workshop) -> None:
    """As training aware of quantization exports it; no technique has to round the weights again."""
    step = {"scale": np.float32(0.05).reshape(()), "zero": np.int8(0).reshape(())}
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "scale", "zero"], ["q"], name="round"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="restore"),
        helper.make_node("MatMul", ["x", "d"], ["y"], name="product"),
    ]
    inputs, outputs = [graphs.value("x", "N", 4)], [graphs.value("y", "N", 1024)]
    model = graphs.model_of(nodes, inputs, outputs, weights(w=(4, 1024)) | step)
    path, examples = graphs.save(model, workshop.root / "model.onnx"), workshop.examples(x=ROWS)
    made = workshop.apply("onnx-graph", path, examples, FIDELITY)
    assert made.result.input_size_bytes > 3 * made.result.size_bytes
    with pytest.raises(TechniqueNotApplicable, match=r"already quantized \(QDQ around weights that are still floats"):
        workshop.apply(DYNAMIC, path, examples, FIDELITY)


def test_that_weights_inside_branches_are_not_reached_is_said(workshop: Workshop) -> None:
    path = graphs.save(graphs.branches(), workshop.root / "model.onnx")
    with pytest.raises(TechniqueNotApplicable, match="inside branches or loops"):
        workshop.apply(DYNAMIC, path, workshop.examples(x=ROWS), FIDELITY)
