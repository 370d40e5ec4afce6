"""Variants of a graph in which selected nodes compute as if quantized to 8 bits, and all others in float.

This follows static quantization in ONNX Runtime. A node's inputs and outputs pass through an unsigned 8-bit grid whose
ends are the observed range, extended to include zero. The weights of products and convolutions are rounded to a signed,
symmetric grid with one scale per output channel. If only a ReLU or Clip reads an output, the grid is after that
operator, so no grid is before it. Biases stay in float: as 32-bit integers their error is negligible. See Jacob et al.
2018, https://arxiv.org/abs/1712.05877.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx.observation import Range
from apps.agents.backends.onnx.split_model import Array, SplitModel, stub

QUANTIZABLE = frozenset(
    (
        *("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "Add", "Mul", "Softmax", "Relu", "Clip", "LeakyRelu"),
        *("Sigmoid", "AveragePool", "GlobalAveragePool", "Concat", "Resize", "Where"),
        *("InstanceNormalization", "LayerNormalization", "BatchNormalization"),
    )
)
"""Operators whose numbers static quantization in ONNX Runtime changes, without those that only move data."""

WEIGHT_INPUT = 1
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1, "Gemm": -1}
"""Axis of the weight's output channels, by operator. In a transposed Gemm it is the first."""
_ACTIVATIONS = frozenset({"Relu", "Clip"})
_WITHOUT_BIAS = frozenset({"Conv", "ConvTranspose", "Gemm", "LayerNormalization", "InstanceNormalization"})
"""Operators whose inputs from the third on are biases."""
_FIRST_INPUT_ONLY = frozenset({"Resize", "BatchNormalization"})
_MICROSOFT = "com.microsoft"
"""This domain's QuantizeLinear works with every opset; ONNX's own starts with opset 10."""


@dataclass(frozen=True)
class Variant:
    """A graph and the values of its stubs."""

    proto: ModelProto
    added: Mapping[str, Array]


def quantizable_nodes(split: SplitModel, ranges: Mapping[str, Range]) -> tuple[NodeProto, ...]:
    """The nodes that 8 bits would change: of a quantizable type, with an observed float output."""
    return tuple(
        node
        for node in split.proto.graph.node
        if node.op_type in QUANTIZABLE and node.domain in ("", "ai.onnx") and node.output[0] in ranges
    )


def quantized_variant(split: SplitModel, names: Collection[str], ranges: Mapping[str, Range]) -> Variant:
    """The graph with the nodes `names` quantized."""
    editor = _Editor(split, ranges)
    for node in split.proto.graph.node:
        editor.take(node, quantize=node.name in names)
    return editor.finished()


def affine_grid(seen: Range) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of the unsigned 8-bit grid over a range extended to include zero."""
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    scale = (high - low) / 255 or 1.0
    return np.float32(scale), np.uint8(np.clip(round(-low / scale), 0, 255))


def on_signed_grid(weight: Array, axis: int | None) -> Array:
    """`weight` rounded to -127..127 steps, one scale for each index along `axis` (one for all without it)."""
    others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis % weight.ndim)
    largest = np.abs(weight).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1.0).astype(weight.dtype)
    return np.asarray(np.clip(np.rint(weight / scale), -127, 127) * scale, weight.dtype)


def on_affine_grid(values: Array) -> Array:
    """`values` rounded to the unsigned grid over their own range."""
    scale, zero = affine_grid(Range(float(values.min()), float(values.max())))
    return np.asarray((np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale, values.dtype)


@dataclass
class _Editor:
    """Writes the variant's nodes one after the other, which keeps the order topological."""

    split: SplitModel
    ranges: Mapping[str, Range]
    nodes: list[NodeProto] = field(default_factory=list)
    stored: list[TensorProto] = field(default_factory=list)
    added: dict[str, Array] = field(default_factory=dict)
    on_grid: dict[str, str] = field(default_factory=dict)
    """Tensors that already exist on the grid, by their float name."""

    def __post_init__(self) -> None:
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.split.proto.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.outputs = {output.name for output in self.split.proto.graph.output}
        self.behind_activation: set[str] = set()

    def take(self, node: NodeProto, *, quantize: bool) -> None:
        if not quantize and not self.behind_activation.intersection(node.output):
            self.nodes.append(node)
            return
        copy = NodeProto()
        copy.CopyFrom(node)
        if quantize:
            for index in _inputs_on_grid(node):
                copy.input[index] = self._input(node, index)
        self.nodes.append(copy)
        for index, name in enumerate(node.output):
            if name in self.ranges:
                self._output(copy, index, name)

    def _input(self, node: NodeProto, index: int) -> str:
        name: str = node.input[index]
        if name in self.on_grid:
            return self.on_grid[name]
        if name in self.ranges:
            return self._through_grid(name, name, f"{name}/on_grid")
        array = self.split.array(name)
        if array is None or array.dtype != np.float32 or array.size == 0 or not np.isfinite(array).all():
            return name
        is_weight = node.op_type in _CHANNEL_AXIS and index == WEIGHT_INPUT
        rounded = on_signed_grid(array, _channel_axis(node, array.ndim)) if is_weight else on_affine_grid(array)
        return self._store(f"{node.name}/{name}/on_grid", rounded)

    def _output(self, node: NodeProto, index: int, name: str) -> None:
        readers = self.readers.get(name, [])
        if name not in self.outputs and readers and all(reader.op_type in _ACTIVATIONS for reader in readers):
            self.behind_activation.update(output for reader in readers for output in reader.output)
            return
        node.output[index] = f"{name}/float"
        self._through_grid(node.output[index], name, name)

    def _through_grid(self, source: str, name: str, target: str) -> str:
        """Quantize and dequantize `source` by the range of `name` into `target`."""
        scale, zero = affine_grid(self.ranges[name])
        self.stored.append(numpy_helper.from_array(np.array(scale), f"{target}/scale"))
        self.stored.append(numpy_helper.from_array(np.array(zero), f"{target}/zero"))
        grid = [f"{target}/scale", f"{target}/zero"]
        self.nodes.append(_node("QuantizeLinear", [source, *grid], f"{target}/q"))
        self.nodes.append(_node("DequantizeLinear", [f"{target}/q", *grid], target))
        self.on_grid[name] = target
        return target

    def _store(self, name: str, array: Array) -> str:
        if name not in self.added:
            self.added[name] = array
            self.stored.append(stub(name, array.shape, TensorProto.FLOAT))
        return name

    def finished(self) -> Variant:
        proto = self.split.copy()
        del proto.graph.node[:]
        proto.graph.node.extend(self.nodes)
        proto.graph.initializer.extend(self.stored)
        if all(opset.domain != _MICROSOFT for opset in proto.opset_import):
            proto.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
        return Variant(proto, self.added)


def _inputs_on_grid(node: NodeProto) -> list[int]:
    """Indices of the inputs that are quantized with a node."""
    if node.op_type in _ACTIVATIONS:
        return []
    last = 1 if node.op_type in _FIRST_INPUT_ONLY else 2 if node.op_type in _WITHOUT_BIAS else len(node.input)
    return [index for index, name in enumerate(node.input[:last]) if name]


def _channel_axis(node: NodeProto, axes: int) -> int | None:
    """Axis of the output channels in a weight; `None` for one scale in total."""
    if axes < 2:
        return None
    if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute):
        return 0
    return _CHANNEL_AXIS.get(node.op_type)


def _node(op_type: str, inputs: list[str], output: str) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, [output], name=f"{output}/{op_type}", domain=_MICROSOFT)
