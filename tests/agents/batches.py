"""Small ONNX graphs that treat the examples of a batch in ways of their own, and data for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

Axes = Sequence[int | str]
OPSET = 17


def graph(
    nodes: Sequence[NodeProto],
    inputs: dict[str, Axes],
    outputs: dict[str, Axes],
    weights: dict[str, np.ndarray],
    types: dict[str, int] | None = None,
) -> bytes:
    """A model of float inputs and outputs, unless `types` says otherwise of one."""
    kinds = types or {}

    def values(specs: dict[str, Axes]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), axes)
            for name, axes in specs.items()
        ]

    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    made = helper.make_graph(nodes, "batches", values(inputs), values(outputs), stored)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return bytes(model.SerializeToString())


def drawn(*shape: int, seed: int = 0, size: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * size).astype(np.float32)


def layers(*nodes: NodeProto) -> list[NodeProto]:
    """A perceptron from `x` `[batch, 16]` to `h` `[batch, 64]`, and then `nodes`."""
    return [
        helper.make_node("MatMul", ["x", "w0"], ["product"], name="first"),
        helper.make_node("Relu", ["product"], ["h"], name="relu"),
        *nodes,
    ]


def head(source: str = "h", target: str = "logits") -> NodeProto:
    return helper.make_node("MatMul", [source, "w1"], [target], name="head")


def perceptron_weights(classes: int = 6) -> dict[str, np.ndarray]:
    return {"w0": drawn(16, 64, seed=1), "w1": drawn(64, classes, seed=2)}


# --- models -----------------------------------------------------------------------------------------------------------


def noisy() -> bytes:
    """Adds random numbers to what it computes."""
    nodes = layers(
        helper.make_node("RandomNormalLike", ["h"], ["noise"], scale=2.0, name="noise"),
        helper.make_node("Add", ["h", "noise"], ["louder"], name="add"),
        head("louder"),
    )
    return graph(nodes, {"x": ["batch", 16]}, {"logits": ["batch", 6]}, perceptron_weights())


def training_dropout() -> bytes:
    """Drops half of what it is given, as in training. Further in, ONNX Runtime would take the operator out."""
    nodes = [
        helper.make_node("Dropout", ["x", "ratio", "training"], ["kept"], name="dropout"),
        helper.make_node("MatMul", ["kept", "w0"], ["h"], name="first"),
        head(),
    ]
    more = {"ratio": np.array(0.5, np.float32), "training": np.array(True)}
    return graph(nodes, {"x": ["batch", 16]}, {"logits": ["batch", 6]}, perceptron_weights() | more)


def drawing_labels() -> bytes:
    """Gives a class drawn by its probability."""
    nodes = layers(head(), helper.make_node("Multinomial", ["logits"], ["y"], dtype=TensorProto.INT64, sample_size=1))
    return graph(nodes, {"x": ["batch", 16]}, {"y": ["batch", 1]}, perceptron_weights(), types={"y": TensorProto.INT64})


def noise_beside() -> bytes:
    """Gives random numbers in an output of their own, beside the scores."""
    nodes = layers(head(), helper.make_node("RandomNormalLike", ["h"], ["noise"]))
    outputs: dict[str, Axes] = {"logits": ["batch", 6], "noise": ["batch", 64]}
    return graph(nodes, {"x": ["batch", 16]}, outputs, perceptron_weights())


def training_norm() -> bytes:
    """Norms each batch by its own mean and deviation."""
    ones, zeros = np.ones(64, np.float32), np.zeros(64, np.float32)
    norm = helper.make_node(
        "BatchNormalization", ["h", "scale", "bias", "mean", "var"], ["n", "m", "v"], training_mode=1, name="norm"
    )
    more = {"scale": ones, "bias": zeros, "mean": zeros, "var": ones}
    return graph(layers(norm, head("n")), {"x": ["batch", 16]}, {"logits": ["batch", 6]}, perceptron_weights() | more)


def attending_over_the_batch() -> bytes:
    """Each example is a mean of all, weighed by likeness."""
    nodes = layers(
        helper.make_node("Transpose", ["h"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["h", "turned"], ["likeness"], name="likeness"),
        helper.make_node("Softmax", ["likeness"], ["weights"]),
        helper.make_node("MatMul", ["weights", "h"], ["mixed"], name="mix"),
        head("mixed"),
    )
    return graph(nodes, {"x": ["batch", 16]}, {"logits": ["batch", 6]}, perceptron_weights())


def recurrent(axes: Axes = ("seq", "batch", 8), out: Axes = ("seq", "batch", 3)) -> bytes:
    """An LSTM over the first axis, the examples along the second, and scores for each step."""
    weights = {
        "w": drawn(1, 64, 8, seed=1),
        "r": drawn(1, 64, 16, seed=2),
        "squeezed": np.array([1], np.int64),
        "w1": drawn(16, 3, seed=3),
    }
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["directions"], hidden_size=16, name="lstm"),
        helper.make_node("Squeeze", ["directions", "squeezed"], ["h"]),
        helper.make_node("MatMul", ["h", "w1"], ["logits"], name="head"),
    ]
    return graph(nodes, {"x": axes}, {"logits": out}, weights)


def with_odd_outputs(batch: int | str = "batch") -> bytes:
    """Scores by example; beside them a constant table, a mean over the batch, and as many hits as the data make."""
    nodes = layers(
        head(),
        helper.make_node("Identity", ["table"], ["anchors"]),
        helper.make_node("ReduceMean", ["logits"], ["loss"], keepdims=0),
        helper.make_node("Greater", ["logits", "limit"], ["over"]),
        helper.make_node("NonZero", ["over"], ["places"]),
        helper.make_node("Transpose", ["places"], ["hits"], perm=[1, 0]),
    )
    more = {"table": drawn(40, 4, seed=5), "limit": np.array(0.3, np.float32)}
    outputs: dict[str, Axes] = {"logits": [batch, 6], "anchors": [40, 4], "loss": [], "hits": ["hits", 2]}
    return graph(nodes, {"x": [batch, 16]}, outputs, perceptron_weights() | more, types={"hits": TensorProto.INT64})


def carrying_a_state(lanes: int | str = "dim_1") -> bytes:
    """An LSTM that takes the state it starts from and a rate, and gives a score and the state it ends with.

    Examples stand along the second axis of every input but the rate, which is one number, and no name says so.
    """
    weights = {
        "w": drawn(1, 64, 8, seed=1),
        "r": drawn(1, 64, 16, seed=2),
        "w1": drawn(16, 1, seed=3, size=1.0),
        "usual": np.array(16000, np.int64),
        "front": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "", "", "h0", "c0"], ["", "hn", "cn"], hidden_size=16, name="lstm"),
        helper.make_node("Squeeze", ["hn", "front"], ["h"]),
        helper.make_node("MatMul", ["h", "w1"], ["score"], name="head"),
        helper.make_node("Div", ["rate", "usual"], ["times"]),
        helper.make_node("Cast", ["times"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["score", "factor"], ["speech"]),
    ]
    state: Axes = [1, lanes, 16]
    inputs: dict[str, Axes] = {"x": ["time", lanes, 8], "h0": state, "c0": state, "rate": []}
    outputs: dict[str, Axes] = {"speech": [lanes, 1], "hn": state, "cn": state}
    return graph(nodes, inputs, outputs, weights, types={"rate": TensorProto.INT64})


def unlike_in_size(examples: int = 240, seed: int = 4) -> np.ndarray:
    """Features `[examples, 16]`, some examples a thousand times larger than the others."""
    x = drawn(examples, 16, seed=seed, size=1.0)
    x[::8] *= 1000
    return x
