"""Finds the convolutions and matrix products of a folded graph that can be decomposed, and why others cannot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from apps.agents.backends.onnx.nodes import attribute, weighted_nodes
from apps.agents.backends.onnx.split_model import Array
from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.agent import why_none
from apps.agents.techniques.decomposition.layer import MOST_FEATURES, DenseLayer

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class OnnxLayer:
    """A node that can be replaced."""

    node: NodeProto
    dense: DenseLayer
    bias: Matrix | None
    """[outputs], with the factor of a `Gemm` multiplied in; `None` if it has none."""
    data_type: int
    """Of its weight, as in ONNX."""

    @property
    def name(self) -> str:
        return str(self.node.name)

    @property
    def source(self) -> str:
        return str(self.node.input[0])

    @property
    def target(self) -> str:
        return str(self.node.output[0])


@dataclass(frozen=True)
class Layers:
    """The layers that can be replaced, in the graph's order, and why others with stored weights cannot."""

    found: tuple[OnnxLayer, ...]
    left: Mapping[str, str]


class _Left(Exception):
    """This node is left as it is; the message says why."""


def layers_of(proto: ModelProto, shapes: Shapes, examples: int) -> Layers:
    """The layers of a graph that contains its weights. `shapes` are those of a run with `examples` examples."""
    found: list[OnnxLayer] = []
    left: dict[str, str] = {}
    for node, known in _looked_at(proto, shapes, examples):
        if isinstance(known, str):
            left[node.name] = known
        else:
            found.append(known)
    return Layers(tuple(found), left)


def why_indecomposable(proto: ModelProto, shapes: Shapes, examples: int) -> str | None:
    """Why no layer of a graph can be replaced; `None` if one can."""
    left: dict[str, str] = {}
    for node, known in _looked_at(proto, shapes, examples):
        if not isinstance(known, str):
            return None
        left[node.name] = known
    return why_none(left)


def _looked_at(proto: ModelProto, shapes: Shapes, examples: int) -> Iterator[tuple[NodeProto, OnnxLayer | str]]:
    """Each convolution and product with a stored weight, as a layer or with the reason why it is left."""
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node, shared in weighted_nodes(proto.graph, stored):
        try:
            if shared:
                raise _Left("its weight is shared with another layer")
            yield node, _layer(node, stored, shapes, examples)
        except _Left as reason:
            yield node, str(reason)


def _layer(node: NodeProto, stored: Mapping[str, TensorProto], shapes: Shapes, examples: int) -> OnnxLayer:
    tensor = stored[node.input[1]]
    bias = _bias(node, {name: numpy_helper.to_array(stored[name]) for name in node.input[2:3] if name in stored})
    return OnnxLayer(node, _dense(node, numpy_helper.to_array(tensor), shapes, examples), bias, tensor.data_type)


def _dense(node: NodeProto, weight: Array, shapes: Shapes, examples: int) -> DenseLayer:
    if node.input[0] not in shapes or node.output[0] not in shapes:
        raise _Left("the shapes of its input and output are not known")
    if weight.dtype.kind != "f":
        raise _Left("its weight is not stored in floats")
    dense = (_convolution if node.op_type == "Conv" else _product)(node, weight, shapes, examples)
    if dense.matrix.shape[1] > MOST_FEATURES:
        raise _Left(f"each of its outputs reads {dense.matrix.shape[1]:,} numbers, more than {MOST_FEATURES:,}")
    if min(dense.outputs, dense.matrix.shape[1]) < 2:
        raise _Left("it has a single input or output")
    return dense


def _convolution(node: NodeProto, weight: Array, shapes: Shapes, examples: int) -> DenseLayer:
    if int(attribute(node, "group", 1)) != 1:
        raise _Left("it is a convolution in groups, which has little to share between channels")
    before, after = shapes[node.input[0]][2:], shapes[node.output[0]][2:]
    return DenseLayer(node.name, weight.astype(np.float64), tuple(before), tuple(after))


def _product(node: NodeProto, weight: Array, shapes: Shapes, examples: int) -> DenseLayer:
    if weight.ndim != 2 or attribute(node, "transA", 0):
        raise _Left("it is not a product of rows with one stored matrix")
    values = weight if attribute(node, "transB", 0) else weight.T
    rows = max(1, math.prod(shapes[node.input[0]][:-1]) // max(1, examples))
    return DenseLayer(node.name, float(attribute(node, "alpha", 1.0)) * values.astype(np.float64), rows=rows)


def _bias(node: NodeProto, stored: Mapping[str, Array]) -> Matrix | None:
    if len(node.input) < 3 or not node.input[2]:
        return None
    if node.input[2] not in stored:
        raise _Left("its bias is computed")
    values = stored[node.input[2]].astype(np.float64)
    if values.ndim > 1 and math.prod(values.shape[:-1]) > 1:
        raise _Left("its bias differs from row to row")
    return np.asarray(float(attribute(node, "beta", 1.0)) * values.reshape(-1), np.float64)
