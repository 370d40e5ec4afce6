"""The contents and cost of each layer of a graph: parameters, bytes of weights, multiply-accumulates.

Shapes were observed in a real run (`apps.agents.backends.onnx.observation`), so dynamic axes, loops and unusual
operators are supported. A multiply-accumulate (MAC) is one product added to a sum. As in the papers, bias, activation
functions and normalization are not counted. An operator without a rule has unknown MACs, not 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from apps.agents.backends.onnx.nodes import attribute
from apps.agents.backends.onnx.split_model import names_read
from apps.agents.contracts.number_types import BITS
from apps.agents.files.onnx_files import subgraphs
from apps.agents.files.onnx_wire import ELEMENT_TYPES

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Weight:
    """A stored tensor, without its values."""

    name: str
    shape: Shape
    data_type: int

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Stored size: types of 2 and 4 bits are packed."""
        return math.ceil(self.parameters * element_bits(self.data_type) / 8)


@dataclass(frozen=True)
class LayerCost:
    """Cost of one node. A weight that several nodes share counts for the first, so that the sums are the model's."""

    name: str
    op_type: str
    parameters: int
    weight_bytes: int
    macs: int | None
    depthwise: bool
    """A convolution with one input channel per group."""


def element_bits(data_type: int) -> int:
    """Bits of one stored element; 0 for text, whose length is not determined by the type."""
    return BITS.get(ELEMENT_TYPES.get(data_type, ""), 0)


def stored_tensors(graph: GraphProto) -> dict[str, Weight]:
    """Initializers and `Constant` tensors of a graph, by the name that nodes use."""
    found = {tensor.name: _weight(tensor.name, tensor) for tensor in graph.initializer}
    for sparse in graph.sparse_initializer:
        found[sparse.values.name] = _weight(sparse.values.name, sparse.values)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.type == AttributeProto.TENSOR:
                    found[node.output[0]] = _weight(node.output[0], attribute.t)
    return found


def layer_costs(model: ModelProto, shapes: Shapes, examples: int = 1) -> tuple[LayerCost, ...]:
    """The cost of every node except constants, in the graph's order.

    `shapes` are from a run with `examples` examples. MACs are per example, rounded.
    """
    weights = stored_tensors(model.graph)
    every = {**{name: weight.shape for name, weight in weights.items()}, **shapes}
    counted: set[str] = set()
    costs = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            continue
        own = [weights[name] for name in names_read(node) if name in weights and name not in counted]
        counted.update(weight.name for weight in own)
        own += [weight for graph in subgraphs(node) for weight in _all_stored(graph)]
        macs = macs_of(node, every)
        costs.append(
            LayerCost(
                name=node.name,
                op_type=node.op_type,
                parameters=sum(weight.parameters for weight in own),
                weight_bytes=sum(weight.size_bytes for weight in own),
                macs=None if macs is None else round(macs / examples),
                depthwise=is_depthwise(node, every),
            )
        )
    return tuple(costs)


def is_depthwise(node: NodeProto, shapes: Shapes) -> bool:
    """Whether `node` is a grouped convolution with a single input channel in each group."""
    shape = shapes.get(node.input[1]) if node.op_type == "Conv" and len(node.input) > 1 else None
    return bool(shape) and len(shape or ()) > 1 and attribute(node, "group", 1) > 1 and (shape or ())[1] == 1


def macs_of(node: NodeProto, shapes: Shapes) -> int | None:
    """Multiply-accumulates of one run of `node`; `None` if there is no rule or a shape is unknown."""
    rule = _RULES.get(node.op_type)
    try:
        return None if rule is None else rule(node, shapes)
    except (KeyError, IndexError):
        # A tensor of unknown shape, or with fewer axes than the operator's definition.
        return None


# --- rules -----------------------------------------------------------------------------------------------------------


def _convolution(node: NodeProto, shapes: Shapes, weight: int = 1) -> int:
    """Every output element sums over the kernel and the input channels of its group: W is (M, C/group, k…)."""
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[weight]][1:])


def _transposed_convolution(node: NodeProto, shapes: Shapes) -> int:
    """Every input element is spread over the kernel and the output channels of its group: W is (C, M/group, k…)."""
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _product(node: NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    inner = shapes[node.input[0]][0 if attribute(node, "transA", 0) else 1]
    return math.prod(shapes[node.output[0]]) * inner


def _recurrent(node: NodeProto, shapes: Shapes) -> int:
    """Each step multiplies with W (D, gates × H, I) and R (D, gates × H, H), in every direction."""
    sequence, batch = shapes[node.input[0]][:2]
    if attribute(node, "layout", 0):
        sequence, batch = batch, sequence
    return sequence * batch * (math.prod(shapes[node.input[1]]) + math.prod(shapes[node.input[2]]))


def _einsum(node: NodeProto, shapes: Shapes) -> int | None:
    """Two operands with plain indices: the product of the lengths of all indices."""
    equation = next((attribute.s.decode() for attribute in node.attribute if attribute.name == "equation"), "")
    terms = equation.replace(" ", "").split("->")[0].split(",")
    if len(terms) != 2 or len(node.input) != 2 or "." in equation:
        return None
    lengths: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=True):
        if len(term) != len(shapes[name]):
            return None
        lengths |= dict(zip(term, shapes[name], strict=True))
    return math.prod(lengths.values())


_RULES: dict[str, Callable[[NodeProto, Shapes], int | None]] = {
    "Conv": _convolution,
    "FusedConv": _convolution,
    "ConvInteger": _convolution,
    "QLinearConv": lambda node, shapes: _convolution(node, shapes, weight=3),
    "ConvTranspose": _transposed_convolution,
    "MatMul": _product,
    "FusedMatMul": _product,
    "MatMulInteger": _product,
    "DynamicQuantizeMatMul": _product,
    "MatMulIntegerToFloat": _product,
    "MatMulNBits": _product,
    "QLinearMatMul": _product,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "QGemm": _gemm,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "Einsum": _einsum,
}


# --- reading the graph -----------------------------------------------------------------------------------------------


def _weight(name: str, tensor: TensorProto) -> Weight:
    return Weight(name, tuple(tensor.dims), tensor.data_type)


def _all_stored(graph: GraphProto) -> Iterator[Weight]:
    yield from stored_tensors(graph).values()
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _all_stored(inner)
