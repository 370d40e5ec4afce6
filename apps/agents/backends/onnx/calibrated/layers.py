"""Layers with stored float weights in a prepared graph, and their weights as [groups, outputs, features]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from apps.agents.backends.onnx.nodes import attribute, is_plain, output_axis, weighted_nodes
from apps.agents.backends.onnx.split_model import names_read
from apps.agents.measuring.statistics.moments import Matrix


@dataclass(frozen=True)
class WeightedLayer:
    """A convolution or a matrix product whose weight only this layer reads, and whose bias, if any, is a vector."""

    node: NodeProto
    source: str
    """The tensor that it reads."""
    target: str
    """The tensor that it gives."""
    weight: str
    shape: tuple[int, ...]
    """The shape of the stored weight."""
    axis: int
    """The weight's axis of output channels."""
    groups: int = 1
    bias: str | None = None
    """A stored bias with a number for each output channel, in the layer or added right behind it; `None` without."""
    end: str = ""
    """The tensor behind the bias."""

    @property
    def name(self) -> str:
        return str(self.node.name)

    @property
    def kernel(self) -> tuple[int, ...]:
        """The lengths of a convolution's kernel; empty for a matrix product."""
        return self.shape[2:]

    @property
    def outputs(self) -> int:
        return self.shape[self.axis]

    @property
    def features(self) -> int:
        """Weights of one output channel."""
        return int(np.prod(self.shape)) // self.outputs

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.shape[1] == 1

    def rows(self, values: Matrix) -> Matrix:
        """A stored weight as [groups, outputs, features]."""
        turned = values if self.axis == 0 else values.T
        return np.asarray(turned.reshape(self.groups, self.outputs // self.groups, -1))

    def stored(self, rows: Matrix) -> Matrix:
        """The reverse of `rows`."""
        if self.node.op_type == "Conv" or self.axis == 0:
            return np.asarray(rows.reshape(self.shape))
        return np.asarray(rows.reshape(self.outputs, -1).T)


class Graph:
    """A prepared graph with its weights inside, whose weights and biases can be replaced."""

    def __init__(self, proto: ModelProto) -> None:
        self.proto = proto
        self._stored = {tensor.name: tensor for tensor in proto.graph.initializer}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in proto.graph.node:
            for name in Counter(names_read(node)):
                self.readers.setdefault(name, []).append(node)
        self.outputs = {one.name for one in proto.graph.output}
        self.layers: tuple[WeightedLayer, ...] = tuple(self._layers())

    def copy(self) -> Graph:
        """An independent copy."""
        proto = ModelProto()
        proto.CopyFrom(self.proto)
        return Graph(proto)

    def array(self, name: str) -> Matrix:
        """A stored tensor."""
        return np.asarray(numpy_helper.to_array(self._stored[name]), np.float64)

    def has(self, name: str) -> bool:
        """Whether `name` is a stored float tensor."""
        return name in self._stored and self._stored[name].data_type == TensorProto.FLOAT

    def store(self, name: str, values: Matrix) -> None:
        """Replace a stored tensor by one of the same shape, in float32."""
        made = numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
        self._stored[name].CopyFrom(made)

    def weight(self, layer: WeightedLayer) -> Matrix:
        """[groups, outputs, features]."""
        return layer.rows(self.array(layer.weight))

    def store_weight(self, layer: WeightedLayer, rows: Matrix) -> None:
        self.store(layer.weight, layer.stored(rows))

    def give_biases(self, names: Mapping[str, int]) -> None:
        """Give convolutions and `Gemm`s without a bias one of zeros: node names with their output channels."""
        for node in self.proto.graph.node:
            if node.name in names:
                name = f"{node.name}/bias"
                self.proto.graph.initializer.append(
                    numpy_helper.from_array(np.zeros(names[node.name], np.float32), name)
                )
                del node.input[2:]
                node.input.append(name)

    # --- finding ------------------------------------------------------------------------------------------------------

    def _layers(self) -> Iterator[WeightedLayer]:
        for node, shared in weighted_nodes(self.proto.graph, self._stored):
            if not shared and (found := self._layer(node)) is not None:
                yield found

    def _layer(self, node: NodeProto) -> WeightedLayer | None:
        weight = node.input[1]
        if not self.has(weight) or not is_plain(node):
            return None
        shape = tuple(self._stored[weight].dims)
        if len(shape) < 2 or (node.op_type != "Conv" and len(shape) != 2) or 0 in shape:
            return None
        axis = output_axis(node, len(shape))
        bias, end = self._bias(node, shape[axis])
        if bias is None and len(node.input) > 2 and node.input[2]:
            return None
        groups = int(attribute(node, "group", 1))
        return WeightedLayer(node, node.input[0], node.output[0], weight, shape, axis, groups, bias, end)

    def _bias(self, node: NodeProto, channels: int) -> tuple[str | None, str]:
        """The bias that only this layer reads, and the tensor behind it."""
        target = node.output[0]
        if node.op_type != "MatMul":
            given = node.input[2] if len(node.input) > 2 else ""
            return (given if given and self._is_vector(given, channels) else None), target
        readers = self.readers.get(target, [])
        if len(readers) != 1 or readers[0].op_type != "Add" or target in self.outputs:
            return None, target
        other = next((name for name in readers[0].input if name != target), "")
        return (other, readers[0].output[0]) if self._is_vector(other, channels) else (None, target)

    def _is_vector(self, name: str, length: int) -> bool:
        return self.has(name) and list(self._stored[name].dims) == [length] and len(self.readers[name]) == 1


def without_bias(graph: Graph) -> dict[str, int]:
    """The layers that can be given a bias: node names with their output channels."""
    return {
        layer.name: layer.outputs
        for layer in graph.layers
        if layer.node.op_type != "MatMul" and not (len(layer.node.input) > 2 and layer.node.input[2])
    }
