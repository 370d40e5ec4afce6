"""Weights of a pruned graph in the form that least squares uses: [groups, targets, features], and a bias."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx.nodes import attribute, store
from apps.agents.backends.onnx.pruning.tracing import Layer
from apps.agents.backends.onnx.split_model import Array, names_read
from apps.agents.measuring.statistics.moments import Matrix

_BIAS = 2
"""Place of a bias among the inputs of convolutions and `Gemm`."""


class Weights:
    """The stored weights of one graph, which is changed in place."""

    def __init__(self, proto: ModelProto) -> None:
        self.proto = proto
        self._nodes = {node.name: node for node in proto.graph.node}
        self._stored = {tensor.name: tensor for tensor in proto.graph.initializer}

    def kernel(self, layer: Layer) -> tuple[int, ...]:
        """The lengths of a convolution's kernel; empty for a matrix product."""
        return tuple(self._weight(layer).dims[2:])

    def groups(self, layer: Layer) -> int:
        return int(attribute(self._nodes[layer.name], "group", 1))

    def read(self, layer: Layer) -> Matrix:
        """The layer's weights, [groups, targets, features], with the factors of a `Gemm` multiplied in."""
        values = numpy_helper.to_array(self._weight(layer)).astype(np.float64)
        if layer.node.op_type != "Conv":
            values = values if layer.output_axis == 0 else values.T
            alpha = float(attribute(self._nodes[layer.name], "alpha", 1.0))
            return np.asarray(alpha * values[None], np.float64)
        groups = self.groups(layer)
        return np.asarray(values.reshape(groups, values.shape[0] // groups, -1), np.float64)

    def write(self, layer: Layer, weight: Matrix, bias: Matrix) -> None:
        """Store new weights and a new bias in the layer. If it has no bias, it gets one."""
        node = self._nodes[layer.name]
        before = self._weight(layer)
        if layer.node.op_type == "Conv":
            values: NDArray[np.float64] = weight.reshape(tuple(before.dims))
        else:
            values = weight[0] if layer.output_axis == 0 else weight[0].T
        self._own(node, 1, values, before.data_type)
        for one in node.attribute:
            if one.name in ("alpha", "beta"):
                one.f = 1.0
        if node.op_type == "MatMul":
            self.add_behind(node.name, bias.reshape(-1), before.data_type)
        else:
            self._own(node, _BIAS, bias.reshape(-1), before.data_type)

    def add_behind(self, name: str, bias: Array, data_type: int) -> None:
        """A product has no bias. Its bias goes into the stored one that is added next, or into a new addition."""
        node = self._nodes[name]
        target = node.output[0]
        readers = [one for one in self.proto.graph.node if target in names_read(one)]
        if len(readers) == 1 and readers[0].op_type == "Add":
            other = next((name for name in readers[0].input if name != target), "")
            if other in self._stored and self._read(other) == 1 and self._stored[other].dims[-1:] == [len(bias)]:
                store(self._stored[other], numpy_helper.to_array(self._stored[other]) + bias)
                return
        self._add(f"{node.name}/fitted_bias", bias, data_type)
        node.output[0] = f"{target}/product"
        addition = helper.make_node("Add", [node.output[0], f"{node.name}/fitted_bias"], [target], f"{node.name}/bias")
        place = next(number for number, one in enumerate(self.proto.graph.node) if one.name == node.name)
        self.proto.graph.node.insert(place + 1, addition)
        self._nodes = {one.name: one for one in self.proto.graph.node}

    def _weight(self, layer: Layer) -> TensorProto:
        return self._stored[self._nodes[layer.name].input[1]]

    def _own(self, node: NodeProto, place: int, values: Array, data_type: int) -> None:
        """Store an input of a node. If the input is missing, or others read it too, it becomes a new tensor."""
        old = node.input[place] if len(node.input) > place else ""
        if old and self._read(old) == 1 and tuple(self._stored[old].dims) == values.shape:
            store(self._stored[old], values)
            return
        name = f"{node.name}/fitted_{'weight' if place == 1 else 'bias'}"
        self._add(name, values, data_type)
        while len(node.input) <= place:
            node.input.append("")
        node.input[place] = name

    def _add(self, name: str, values: Array, data_type: int) -> None:
        tensor = TensorProto(name=name, data_type=data_type)
        store(tensor, values)
        self.proto.graph.initializer.append(tensor)
        self._stored[name] = self.proto.graph.initializer[-1]

    def _read(self, name: str) -> int:
        """How often a stored tensor is read."""
        return sum(Counter(names_read(node))[name] for node in self.proto.graph.node)
