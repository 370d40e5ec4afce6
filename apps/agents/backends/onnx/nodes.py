"""Small parts of an ONNX graph: the attributes of a node, and stored tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx.workbench import Array


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
