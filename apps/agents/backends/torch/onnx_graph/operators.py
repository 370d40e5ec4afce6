"""What an ONNX operator is here: a function of tensors, and which attributes it knows. Anything else is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from apps.agents.contracts.errors.training import OperatorNotRebuilt

Result: TypeAlias = "Tensor | tuple[Tensor, ...]"
Function = Callable[..., Result]
"""Takes the `Call` and the node's inputs in their order, `None` for those that are left out."""
STANDARD = ("", "ai.onnx")
TYPES: Mapping[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.INT16: torch.int16,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT8: torch.uint8,
    TensorProto.BOOL: torch.bool,
}
_IGNORED = frozenset({"name", "doc_string"})


@dataclass(frozen=True)
class Operator:
    function: Function
    attributes: frozenset[str]
    sizes: frozenset[int]
    """The places of inputs that are read as numbers, such as the shape of a `Reshape`. They may stay on the CPU."""


OPERATORS: dict[str, Operator] = {}
"""By type, of ONNX's own domain."""


def operator(*names: str, attributes: str = "", sizes: Iterable[int] = ()) -> Callable[[Function], Function]:
    """Registers a function for operators of these types, with the attributes that it knows, separated by spaces."""

    def register(function: Function) -> Function:
        known = Operator(function, frozenset(attributes.split()), frozenset(sizes))
        OPERATORS.update(dict.fromkeys(names, known))
        return function

    return register


@dataclass(frozen=True)
class Call:
    """One node as its function sees it."""

    op_type: str
    name: str
    opset: int
    """The version of ONNX's own operators."""
    attributes: Mapping[str, Any]
    """Tensors are PyTorch's, and strings are text."""

    def get(self, name: str, default: Any) -> Any:
        """The attribute `name`, or `default` if the node does not have it."""
        return self.attributes.get(name, default)

    def refused(self, reason: str) -> OperatorNotRebuilt:
        """The error to raise for what the function does not support. `reason` is a clause."""
        return OperatorNotRebuilt(operator=self.op_type, node=self.name or "a node without a name", reason=reason)


def call_of(node: NodeProto, opset: int) -> Call:
    """Raises `OperatorNotRebuilt` for an operator or an attribute that is not known."""
    attributes = {one.name: _value(helper.get_attribute_value(one)) for one in node.attribute}
    call = Call(node.op_type, node.name or next(iter(node.output), ""), opset, attributes)
    known = OPERATORS.get(node.op_type)
    if node.domain not in STANDARD:
        raise call.refused(f"it belongs to the domain {node.domain}")
    if known is None:
        raise call.refused("there is no counterpart for this operator")
    if unknown := sorted(attributes.keys() - known.attributes - _IGNORED):
        raise call.refused(f"its attribute {unknown[0]} is not known")
    return call


def tensor_of(proto: TensorProto) -> Tensor:
    """A stored tensor in PyTorch's memory."""
    if proto.data_type == TensorProto.BFLOAT16:
        return torch.from_numpy(numpy_helper.to_array(proto).astype("float32")).to(torch.bfloat16)
    return torch.from_numpy(numpy_helper.to_array(proto).copy())


def numbers(tensor: Tensor) -> list[int]:
    """The elements of an input that is read as whole numbers."""
    return [int(one) for one in tensor.reshape(-1).tolist()]


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return tensor_of(value) if value.data_type in TYPES else value
    return value
