"""Pairs of layers whose channels can be scaled against each other without changing the function.

Between the two stand only operators f with f(sx) = s·f(x) for s > 0, channel by channel (Relu, LeakyRelu, pooling), and
every reader of the first layer's output leads to such a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto

from apps.agents.backends.onnx.calibrated.layers import Graph, WeightedLayer
from apps.agents.backends.onnx.nodes import attribute
from apps.agents.measuring.statistics.moments import Matrix

HOMOGENEOUS = frozenset(
    ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Dropout")
)
_FLAT = frozenset(("Flatten", "Reshape", "Squeeze"))


@dataclass(frozen=True)
class Reader:
    """A layer that reads the channels of another. Each channel feeds `repeat` of its inputs in a row."""

    layer: WeightedLayer
    repeat: int = 1


@dataclass
class Pair:
    """A layer, those that read its channels, and what stands between them."""

    first: WeightedLayer
    readers: list[Reader] = field(default_factory=list)
    clips: list[NodeProto] = field(default_factory=list)
    """The `Clip`s from 0 upwards in between: they scale only where nothing reaches their upper end."""
    between: list[NodeProto] = field(default_factory=list)


def pairs_of(graph: Graph) -> Iterator[Pair]:
    """All pairs of a graph, in its order."""
    shapes = {one.name: _dims(one) for one in (*graph.proto.graph.value_info, *graph.proto.graph.input)}
    by_source: dict[str, list[WeightedLayer]] = {}
    for layer in graph.layers:
        by_source.setdefault(layer.source, []).append(layer)
    for layer in graph.layers:
        pair = Pair(layer)
        walk = _Walk(graph, by_source, shapes, pair)
        if walk.follow(layer.end, 1) and pair.readers:
            yield pair


@dataclass
class _Walk:
    graph: Graph
    by_source: dict[str, list[WeightedLayer]]
    shapes: dict[str, list[int]]
    pair: Pair

    def follow(self, tensor: str, repeat: int) -> bool:
        """Collect what reads `tensor`. Returns false if something reads it that does not scale."""
        readers = self.graph.readers.get(tensor, [])
        if tensor in self.graph.outputs or not readers:
            return False
        return all(self._reads(node, tensor, repeat) for node in readers)

    def _reads(self, node: NodeProto, tensor: str, repeat: int) -> bool:
        layers = [one for one in self.by_source.get(tensor, ()) if one.node.name == node.name]
        if layers:
            return self._ends(layers[0], repeat)
        if node.op_type in HOMOGENEOUS and len(node.output) == 1:
            self.pair.between.append(node)
            return self.follow(node.output[0], repeat)
        if node.op_type == "Clip" and self._from_zero(node):
            self.pair.clips.append(node)
            return self.follow(node.output[0], repeat)
        if node.op_type in _FLAT:
            flat = self._repeat(node, tensor)
            self.pair.between.append(node)
            return flat is not None and self.follow(node.output[0], repeat * flat)
        return False

    def _ends(self, layer: WeightedLayer, repeat: int) -> bool:
        channels = self.pair.first.outputs
        inputs = layer.shape[1] * layer.groups if layer.kernel else layer.features
        if inputs != channels * repeat or (layer.kernel and repeat != 1):
            return False
        # The channels of a convolution are on the second axis, those of a product on the last.
        if bool(layer.kernel) != bool(self.pair.first.kernel) and not self._flattened():
            return False
        self.pair.readers.append(Reader(layer, repeat))
        return True

    def _flattened(self) -> bool:
        return any(node.op_type in _FLAT for node in self.pair.between) and bool(self.pair.first.kernel)

    def _from_zero(self, node: NodeProto) -> bool:
        low, high = clip_bounds(self.graph, node)
        return low == 0.0 and high is not None and high > 0

    def _repeat(self, node: NodeProto, tensor: str) -> int | None:
        """How many inputs of a product each channel becomes; `None` if that is not certain."""
        given, made = self.shapes.get(tensor), self.shapes.get(node.output[0])
        if not self.pair.first.kernel or not given or not made or len(made) != 2 or len(given) < 3:
            return None
        places = given[2:]
        if min(places) < 1 or made[1] != given[1] * int(np.prod(places)):
            return None
        return int(np.prod(places))


def clip_bounds(graph: Graph, node: NodeProto) -> tuple[float | None, float | None]:
    """The stored bounds of a `Clip`; `None` for one that is missing or computed."""
    bounds: list[float | None] = []
    for place, name in enumerate(("min", "max"), start=1):
        given = node.input[place] if len(node.input) > place else ""
        old = attribute(node, name)
        bounds.append(float(graph.array(given).reshape(-1)[0]) if given and graph.has(given) else old)
    return bounds[0], bounds[1]


def ranges_out(graph: Graph, layer: WeightedLayer) -> Matrix:
    """The largest magnitude of the weights of each output channel."""
    return np.asarray(np.abs(graph.weight(layer)).max(-1).reshape(-1))


def ranges_in(graph: Graph, readers: Sequence[Reader], channels: int) -> Matrix:
    """The largest magnitude of the weights that read each channel, over all readers."""
    ranges = [np.abs(_by_input(graph, one, channels)).max((1, 3)).reshape(-1) for one in readers]
    return np.asarray(np.max(ranges, axis=0))


def scale_out(graph: Graph, layer: WeightedLayer, scale: Matrix) -> None:
    """Multiply the output channels of a layer, with its bias."""
    rows = graph.weight(layer)
    graph.store_weight(layer, rows * scale.reshape(*rows.shape[:2], 1))
    if layer.bias:
        graph.store(layer.bias, graph.array(layer.bias) * scale)


def scale_in(graph: Graph, reader: Reader, scale: Matrix) -> None:
    """Multiply the weights that read each channel."""
    values = _by_input(graph, reader, len(scale))
    scaled = values * scale.reshape(values.shape[0], 1, values.shape[2], 1)
    graph.store_weight(reader.layer, scaled.reshape(reader.layer.groups, -1, reader.layer.features))


def _by_input(graph: Graph, reader: Reader, channels: int) -> Matrix:
    """A reader's weights as [groups, outputs, channels, weights of each]."""
    layer = reader.layer
    rows = graph.weight(layer)
    return rows.reshape(layer.groups, rows.shape[1], channels // layer.groups, -1)


def _dims(info: object) -> list[int]:
    return [axis.dim_value for axis in info.type.tensor_type.shape.dim]  # type: ignore[attr-defined]
