"""A small model that surely gets smaller without loss: 256 numbers to ten classes, far apart; and data for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES, CLASSES, EXAMPLES = 256, 10, 800


def small_model(path: Path) -> Path:
    """x [N, 256] → Gemm → Relu → Gemm → scores [N, 10], 330 kB."""
    random = np.random.default_rng(3)
    mirror = np.eye(FEATURES, dtype=np.float32) + random.normal(0, 0.001, (FEATURES, FEATURES)).astype(np.float32)
    weights = {"w1": mirror, "w2": centres().T.copy()}
    nodes = [
        helper.make_node("Gemm", ["x", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2"], ["scores"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def examples(path: Path) -> Path:
    """`x` near the centre of its class, and `y`, the class."""
    random = np.random.default_rng(4)
    classes = np.arange(EXAMPLES) % CLASSES
    noise = random.normal(0, 0.05, (EXAMPLES, FEATURES))
    np.savez(path, x=np.abs(centres()[classes] + noise).astype(np.float32), y=classes.astype(np.int64))
    return path


def centres() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(5).uniform(0, 1, (CLASSES, FEATURES)).astype(np.float32)
