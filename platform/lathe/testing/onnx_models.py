"""ONNX models of a size: a perceptron, a convolutional network and a transformer, each a classifier of a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lathe.testing.widths import width_for

OPSET, IR_VERSION = 21, 10
BATCH = "N"
HEADS = 4
Weights = dict[str, NDArray[np.float32]]


def perceptron(megabytes: float, columns: int = 16, classes: int = 10, seed: int = 0) -> ModelProto:
    """`x` float32 [N, columns] → three layers → `logits` [N, classes]."""
    width = width_for(megabytes, 1, columns + classes)
    weights = _drawn({"w0": (columns, width), "w1": (width, width), "w2": (width, classes)}, seed)
    nodes = [
        *_layer("MatMul", "x", "w0", "h0"),
        *_layer("MatMul", "h0", "w1", "h1"),
        helper.make_node("MatMul", ["h1", "w2"], ["logits"], "head"),
    ]
    return _model(nodes, ("x", TensorProto.FLOAT, (columns,)), classes, weights)


def convolutional(
    megabytes: float, side: int = 32, channels: int = 3, classes: int = 10, layers: int = 4, seed: int = 0
) -> ModelProto:
    """`x` float32 [N, channels, side, side] → 3×3 convolutions, a mean over the picture → `logits` [N, classes]."""
    width = width_for(megabytes, 9 * layers, 9 * channels + classes)
    shapes = {f"w{layer}": (width, width if layer else channels, 3, 3) for layer in range(layers + 1)}
    weights = _drawn(shapes | {"head": (width, classes)}, seed)
    nodes: list[NodeProto] = []
    for layer in range(layers + 1):
        nodes += _layer("Conv", f"h{layer - 1}" if layer else "x", f"w{layer}", f"h{layer}", pads=[1, 1, 1, 1])
    nodes += [
        helper.make_node("GlobalAveragePool", [f"h{layers}"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "head"], ["logits"], "classify"),
    ]
    return _model(nodes, ("x", TensorProto.FLOAT, (channels, side, side)), classes, weights)


def transformer(
    megabytes: float, length: int = 64, vocabulary: int = 1000, classes: int = 2, blocks: int = 2, seed: int = 0
) -> ModelProto:
    """`input_ids` int64 [N, length] → embeddings, blocks of attention, a mean over the tokens → `logits` [N, classes].

    Its width is a multiple of the four heads, so that small sizes are met only roughly.
    """
    width = HEADS * max(1, round(width_for(megabytes, 12 * blocks, vocabulary + classes + 4 * blocks) / HEADS))
    weights = _drawn({"embedding": (vocabulary, width), "head": (width, classes)}, seed)
    nodes = [helper.make_node("Gather", ["embedding", "input_ids"], ["b0"], "embed")]
    for block in range(blocks):
        weights |= _block_weights(block, width, seed)
        nodes += _block(block, width)
    nodes += [
        helper.make_node("ReduceMean", [f"b{blocks}", "tokens"], ["mean"], "mean", keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["logits"], "classify"),
    ]
    constants = {
        "tokens": np.array([1], np.int64),
        "split": np.array([0, 0, HEADS, width // HEADS], np.int64),
        "joined": np.array([0, 0, width], np.int64),
    }
    return _model(nodes, ("input_ids", TensorProto.INT64, (length,)), classes, weights, constants)


# --- parts -----------------------------------------------------------------------------------------------------------


def _block_weights(block: int, width: int, seed: int) -> Weights:
    name = f"block{block}"
    shapes = {f"{name}.{part}": (width, width) for part in ("q", "k", "v", "o")}
    shapes |= {f"{name}.up": (width, 4 * width), f"{name}.down": (4 * width, width)}
    norms = {f"{name}.{norm}.{part}": (width,) for norm in ("first", "second") for part in ("scale", "bias")}
    ones = {key: np.full(shape, key.endswith("scale"), np.float32) for key, shape in norms.items()}
    return _drawn(shapes, seed + block + 1) | ones


def _block(block: int, width: int) -> list[NodeProto]:
    """Attention and a feed-forward part, each added to its input and normalized."""
    name, source, target = f"block{block}", f"b{block}", f"b{block + 1}"
    nodes: list[NodeProto] = []
    for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += _heads(f"{name}.{part}", source, order)
    scale = 1 / math.sqrt(width / HEADS)
    nodes += [
        helper.make_node("MatMul", [f"{name}.q.heads", f"{name}.k.heads"], [f"{name}.raw"], f"{name}.scores"),
        helper.make_node("Constant", [], [f"{name}.scale"], f"{name}.constant", value_float=scale),
        helper.make_node("Mul", [f"{name}.raw", f"{name}.scale"], [f"{name}.scaled"], f"{name}.scaling"),
        helper.make_node("Softmax", [f"{name}.scaled"], [f"{name}.shares"], f"{name}.softmax", axis=-1),
        helper.make_node("MatMul", [f"{name}.shares", f"{name}.v.heads"], [f"{name}.mixed"], f"{name}.mixing"),
        helper.make_node("Transpose", [f"{name}.mixed"], [f"{name}.back"], f"{name}.back", perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", [f"{name}.back", "joined"], [f"{name}.all"], f"{name}.joining"),
        helper.make_node("MatMul", [f"{name}.all", f"{name}.o"], [f"{name}.attended"], f"{name}.output"),
        *_added(f"{name}.first", source, f"{name}.attended", f"{name}.middle"),
        *_layer("MatMul", f"{name}.middle", f"{name}.up", f"{name}.wide"),
        helper.make_node("MatMul", [f"{name}.wide", f"{name}.down"], [f"{name}.narrow"], f"{name}.narrowing"),
        *_added(f"{name}.second", f"{name}.middle", f"{name}.narrow", target),
    ]
    return nodes


def _heads(name: str, source: str, order: Sequence[int]) -> list[NodeProto]:
    return [
        helper.make_node("MatMul", [source, name], [f"{name}.all"], f"{name}.product"),
        helper.make_node("Reshape", [f"{name}.all", "split"], [f"{name}.split"], f"{name}.splitting"),
        helper.make_node("Transpose", [f"{name}.split"], [f"{name}.heads"], f"{name}.turning", perm=order),
    ]


def _added(name: str, first: str, second: str, target: str) -> list[NodeProto]:
    return [
        helper.make_node("Add", [first, second], [f"{name}.sum"], f"{name}.adding"),
        helper.make_node(
            "LayerNormalization", [f"{name}.sum", f"{name}.scale", f"{name}.bias"], [target], f"{name}.norm", axis=-1
        ),
    ]


def _layer(kind: str, source: str, weight: str, target: str, **attributes: object) -> list[NodeProto]:
    """A product and what keeps its positive part."""
    return [
        helper.make_node(kind, [source, weight], [f"{target}.raw"], f"{target}.{kind}", **attributes),
        helper.make_node("Relu", [f"{target}.raw"], [target], f"{target}.relu"),
    ]


def _drawn(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Weights:
    """Weights that keep the size of what passes through them (He et al., "Delving deep into rectifiers", 2015)."""
    random = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...]) -> NDArray[np.float32]:
        inputs = math.prod(shape[1:]) if len(shape) == 4 else shape[0]
        return (random.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / inputs))).astype(np.float32)

    return {name: draw(shape) for name, shape in shapes.items()}


def _model(
    nodes: list[NodeProto],
    source: tuple[str, int, tuple[int, ...]],
    classes: int,
    weights: Weights,
    constants: dict[str, NDArray[np.int64]] | None = None,
) -> ModelProto:
    name, kind, shape = source
    stored = [numpy_helper.from_array(array, key) for key, array in {**weights, **(constants or {})}.items()]
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, kind, [BATCH, *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [BATCH, classes])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
