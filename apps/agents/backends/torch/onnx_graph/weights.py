"""Which stored tensors of an ONNX graph are weights, and how trained values are written back into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, numpy_helper

_PLACES: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Einsum": (0, 1, 2),
    "Gather": (0,),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "PRelu": (1,),
    "RMSNormalization": (1,),
}
"""The places of an operator's inputs that weights have."""
_BIASES = frozenset({"Add", "Div", "Mul", "Sub"})
"""A stored input of theirs is a bias, a scale or a table of positions if it has several numbers."""
_PASSED_ON = frozenset({"Expand", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""What they return is their first input, arranged otherwise."""
LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""The layers that pruning sets weights of to zero."""
STATISTICS = (3, 4)
"""The places of a batch norm's mean and variance."""
_MASK = 1e4
"""Larger numbers in a sum mask what is added to them; nothing of such a table is learned."""
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})


def weights_of(graph: GraphProto) -> list[str]:
    """The names of the stored tensors that training may change, in the order in which they are stored."""
    floats = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type in _FLOATS}
    found = {name for node, place, name in _read(graph) if name in floats and _is_weight(node, place, floats[name])}
    return [tensor.name for tensor in graph.initializer if tensor.name in found]


def layer_weights(graph: GraphProto) -> set[str]:
    """The names of the weights of convolutions and matrix products, without their biases."""
    return {name for node, place, name in _read(graph) if node.op_type in LAYERS and place < 2}


def write_weights(graph: GraphProto, values: Mapping[str, NDArray[np.generic]]) -> int:
    """Store `values` by name in place of those of `graph`, in the same types. Returns how many tensors changed.

    A tensor whose numbers are the same stays as it is, to the byte.
    """
    changed = 0
    for tensor in graph.initializer:
        if tensor.name not in values:
            continue
        before = numpy_helper.to_array(tensor)
        after = np.ascontiguousarray(values[tensor.name], dtype=before.dtype).reshape(before.shape)
        if after.tobytes() == before.tobytes():
            continue
        changed += 1
        tensor.ClearField("float_data")
        tensor.ClearField("double_data")
        tensor.raw_data = numpy_helper.from_array(after).raw_data
    return changed


def _read(graph: GraphProto) -> Iterator[tuple[NodeProto, int, str]]:
    """Each node with the place of an input and the stored tensor that it reads there, also a rearranged one."""
    source = {tensor.name: tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in _PASSED_ON and node.input[0] in source:
            source.update(dict.fromkeys(node.output, source[node.input[0]]))
            continue
        yield from ((node, place, source[name]) for place, name in enumerate(node.input) if name in source)


def _is_weight(node: NodeProto, place: int, tensor: TensorProto) -> bool:
    if node.op_type not in _BIASES:
        return place in _PLACES.get(node.op_type, ())
    values = numpy_helper.to_array(tensor)
    return values.size > 1 and bool((np.abs(values) < _MASK).all())
