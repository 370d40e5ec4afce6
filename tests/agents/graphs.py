"""Small real graphs, built where they are needed: a convolution net, an attention block, a table, a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 17
Array = NDArray[Any]


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def value(name: str, *shape: int | str | None, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, list(shape))


def model_of(
    nodes: Sequence[NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: dict[str, Array] | None = None,
    *,
    opset: int = OPSET,
    domains: Sequence[str] = (),
) -> ModelProto:
    stored = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph: GraphProto = helper.make_graph(nodes, "graph", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="tests", producer_version="1")


def save(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def perceptron(batch: int | str = "N", *, opset: int = OPSET) -> ModelProto:
    """[batch, 4] → Gemm → Relu → Gemm → [batch, 3], 4·8 + 8 + 8·3 + 3 = 67 parameters."""
    random = rng()
    weights = {
        "w1": random.normal(size=(4, 8)).astype(np.float32),
        "b1": random.normal(size=8).astype(np.float32),
        "w2": random.normal(size=(8, 3)).astype(np.float32),
        "b2": random.normal(size=3).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name="second"),
    ]
    return model_of(nodes, [value("x", batch, 4)], [value("y", batch, 3)], weights, opset=opset)


def convolutions() -> ModelProto:
    """[N, 3, 8, 8] → Conv 3×3 (16) → Relu → depthwise 3×3 → Clip → 1×1 (32) → mean → Gemm (5)."""
    random = rng()
    weights = {
        "w1": random.normal(size=(16, 3, 3, 3), scale=0.3).astype(np.float32),
        "w2": random.normal(size=(16, 1, 3, 3), scale=0.3).astype(np.float32),
        "w3": random.normal(size=(32, 16, 1, 1), scale=0.3).astype(np.float32),
        "w4": random.normal(size=(32, 5), scale=0.3).astype(np.float32),
        "low": np.float32(0).reshape(()),
        "high": np.float32(6).reshape(()),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="stem_relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="depthwise", pads=[1, 1, 1, 1], group=16),
        helper.make_node("Clip", ["c2", "low", "high"], ["r2"], name="clip"),
        helper.make_node("Conv", ["r2", "w3"], ["c3"], name="pointwise"),
        helper.make_node("GlobalAveragePool", ["c3"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("MatMul", ["f", "w4"], ["y"], name="head"),
    ]
    return model_of(nodes, [value("x", "N", 3, 8, 8)], [value("y", "N", 5)], weights)


def attention(mask_value: float = -1e9) -> ModelProto:
    """One head over [N, 6, 16] with a mask [N, 6] of 1 (seen) and 0 (hidden): scores + (1 - mask) · `mask_value`."""
    random = rng()
    weights = {
        **{name: random.normal(size=(16, 16), scale=0.25).astype(np.float32) for name in ("wq", "wk", "wv", "wo")},
        "one": np.float32(1).reshape(()),
        "huge": np.float32(mask_value).reshape(()),
        "scale": np.float32(0.25).reshape(()),
        "axes": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["q"], name="query"),
        helper.make_node("MatMul", ["x", "wk"], ["k"], name="key"),
        helper.make_node("MatMul", ["x", "wv"], ["v"], name="value"),
        helper.make_node("Transpose", ["k"], ["kt"], name="transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["raw"], name="scores"),
        helper.make_node("Mul", ["raw", "scale"], ["scaled"], name="scale"),
        helper.make_node("Sub", ["one", "mask"], ["hidden"], name="hidden"),
        helper.make_node("Mul", ["hidden", "huge"], ["bias2"], name="mask_bias"),
        helper.make_node("Unsqueeze", ["bias2", "axes"], ["bias"], name="unsqueeze"),
        helper.make_node("Add", ["scaled", "bias"], ["masked"], name="mask"),
        helper.make_node("Softmax", ["masked"], ["p"], name="softmax", axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["context"], name="context"),
        helper.make_node("MatMul", ["context", "wo"], ["y"], name="output"),
    ]
    return model_of(nodes, [value("x", "N", 6, 16), value("mask", "N", 6)], [value("y", "N", 6, 16)], weights)


def attention_feeds(examples: int = 8) -> dict[str, Array]:
    random = rng()
    mask = np.ones((examples, 6), np.float32)
    mask[:, 4:] = 0
    return {"x": random.normal(size=(examples, 6, 16)).astype(np.float32), "mask": mask}


def table() -> ModelProto:
    """Token numbers [N, 5] int64 → embedding (20 × 8) → mean → ArgMax: integers in and out."""
    weights = {"table": rng().normal(size=(20, 8)).astype(np.float32)}
    nodes = [
        helper.make_node("Gather", ["ids", "table"][::-1], ["e"], name="embed"),
        helper.make_node("ReduceMean", ["e"], ["m"], name="mean", axes=[1], keepdims=0),
        helper.make_node("ArgMax", ["m"], ["y"], name="argmax", axis=1, keepdims=0),
    ]
    inputs = [value("ids", "N", 5, dtype=TensorProto.INT64)]
    return model_of(nodes, inputs, [value("y", "N", dtype=TensorProto.INT64)], weights)


def branches() -> ModelProto:
    """[N, 4] → If (sum > 0) x·w_then else x·w_else → [N, 2]; each branch stores its own weights."""
    random = rng()

    def branch(name: str) -> GraphProto:
        weight = numpy_helper.from_array(random.normal(size=(4, 2)).astype(np.float32), f"w_{name}")
        node = helper.make_node("MatMul", ["x", f"w_{name}"], [f"y_{name}"], name=f"product_{name}")
        return helper.make_graph([node], name, [], [value(f"y_{name}", "N", 2)], [weight])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], name="total", keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["positive"], name="positive"),
        helper.make_node("If", ["positive"], ["y"], name="if", then_branch=branch("then"), else_branch=branch("else")),
    ]
    return model_of(nodes, [value("x", "N", 4)], [value("y", "N", 2)], {"zero": np.float32(0).reshape(())})


def with_custom_operator() -> ModelProto:
    nodes = [helper.make_node("Sharpen", ["x"], ["y"], name="sharpen", domain="com.example")]
    return model_of(nodes, [value("x", 1)], [value("y", 1)], domains=["com.example"])


def save_external(model: ModelProto, folder: Path, data: str = "weights.bin") -> Path:
    """The model with every weight in the file `data` beside it."""
    path = folder / "model.onnx"
    onnx.save(
        model, str(path), save_as_external_data=True, location=data, size_threshold=0, all_tensors_to_one_file=True
    )
    return path
