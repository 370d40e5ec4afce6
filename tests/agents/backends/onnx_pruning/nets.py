"""Small graphs whose channels are coupled in one way each, and what the pruning makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from apps.agents.backends.onnx.pruning.anatomy import OnnxAnatomy, anatomy_of
from tests.agents import graphs

Array = NDArray[Any]
SIDE = 8
"""Height and width of the pictures that these graphs take."""


class Net:
    """A graph in the making: each method adds a node with random weights and returns the name of its output."""

    def __init__(self, channels: int = 3) -> None:
        self.random = graphs.rng()
        self.channels = {"x": channels}
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Array] = {}

    def conv(self, name: str, source: str, made: int, kernel: int = 3, **attributes: Any) -> str:
        taken = self.channels[source] // attributes.get("group", 1)
        self.weights[f"{name}.w"] = self._drawn(made, taken, kernel, kernel)
        self.weights[f"{name}.b"] = self._drawn(made)
        reads = [source, f"{name}.w", f"{name}.b"]
        return self.add("Conv", name, reads, made, pads=[kernel // 2] * 4, **attributes)

    def gemm(self, name: str, source: str, taken: int, made: int) -> str:
        self.weights |= {f"{name}.w": self._drawn(made, taken), f"{name}.b": self._drawn(made)}
        return self.add("Gemm", name, [source, f"{name}.w", f"{name}.b"], made, transB=1)

    def norm(self, name: str, source: str) -> str:
        count = self.channels[source]
        for part in ("scale", "bias", "mean", "var"):
            self.weights[f"{name}.{part}"] = self.random.uniform(0.5, 2.0, count).astype(np.float32)
        reads = [source, *(f"{name}.{part}" for part in ("scale", "bias", "mean", "var"))]
        return self.add("BatchNormalization", name, reads, count)

    def flatten(self, source: str) -> str:
        self.weights["flat.shape"] = np.array([-1, self.channels[source] * SIDE * SIDE], np.int64)
        return self.add("Reshape", "flat", [source, "flat.shape"], self.channels[source] * SIDE * SIDE)

    def add(self, op_type: str, name: str, reads: Sequence[str], made: int | None = None, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op_type, list(reads), [f"{name}.y"], name=name, **attributes))
        self.channels[f"{name}.y"] = self.channels[reads[0]] if made is None else made
        return f"{name}.y"

    def model(self, output: str, rank: int = 4) -> ModelProto:
        """The graph with `output` as its only output, of so many axes."""
        shape = ["N", self.channels[output], *[SIDE] * (rank - 2)]
        inputs = [graphs.value("x", "N", self.channels["x"], SIDE, SIDE)]
        return graphs.model_of(self.nodes, inputs, [graphs.value(output, *shape)], self.weights)

    def _drawn(self, *shape: int) -> Array:
        return (self.random.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)


def pictures(count: int = 64, channels: int = 3) -> Array:
    return graphs.rng().normal(size=(count, channels, SIDE, SIDE)).astype(np.float32)


def dissected(proto: ModelProto, folder: Path) -> OnnxAnatomy:
    """What pruning finds out about a graph, without folding it first."""
    model = graphs.save(proto, folder / "net.onnx")
    channels = proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    return anatomy_of(model, {"x": pictures(2, channels)}, 2)


def widths(proto: ModelProto) -> dict[str, int]:
    """How many channels each layer with a weight makes, by the name of its node."""
    shapes = {tensor.name: list(tensor.dims) for tensor in proto.graph.initializer}
    return {node.name: shapes[node.input[1]][0] for node in proto.graph.node if node.op_type in ("Conv", "Gemm")}


def outputs(proto: ModelProto | Path, examples: Array) -> Array:
    loaded = proto if isinstance(proto, ModelProto) else onnx.load(str(proto))
    return np.asarray(onnx_session(loaded).run(None, {"x": examples})[0])


def onnx_session(proto: ModelProto) -> Any:
    from apps.agents.backends.onnx.runtime import open_session

    return open_session(proto.SerializeToString())
