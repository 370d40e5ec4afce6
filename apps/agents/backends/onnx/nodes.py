"""Small parts of an ONNX graph: the attributes of a node, stored tensors, and the operators with weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx.split_model import Array, names_read

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators whose second input is their weight."""
_STANDARD = ("", "ai.onnx")


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    found = (helper.get_attribute_value(one) for one in node.attribute if one.name == name)
    return next(found, default)


def is_plain(node: NodeProto) -> bool:
    """Whether a `Gemm` has no factors and does not transpose its input."""
    factors = (attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0))
    return factors == (1.0, 1.0) and not attribute(node, "transA", 0)


def store(tensor: TensorProto, array: Array) -> None:
    """Give a stored tensor a new value, converted to the tensor's type."""
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array.astype(dtype)), tensor.name))


def weighted_nodes(graph: GraphProto, stored: Container[str]) -> Iterator[tuple[NodeProto, bool]]:
    """Convolutions and matrix products whose weight is among the `stored` tensors, in the graph's order, and whether
    anything else reads that weight, too."""
    read = Counter(name for node in graph.node for name in names_read(node))
    for node in graph.node:
        if node.op_type in WEIGHTED and node.domain in _STANDARD and node.input[1] in stored:
            yield node, read[node.input[1]] > 1


def output_axis(node: NodeProto, axes: int) -> int:
    """The axis of output channels in the weight, which has so many `axes`, of a convolution or matrix product."""
    return 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else axes - 1
