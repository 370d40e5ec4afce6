"""Replaces layers of a graph by their factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from apps.agents.backends.onnx.decomposition.layers import OnnxLayer
from apps.agents.backends.onnx.nodes import attribute, store
from apps.agents.backends.onnx.pruning.weights import Weights
from apps.agents.backends.onnx.technique import drop_unread
from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.factors import Factors, Stage

_SAME = (b"SAME_UPPER", b"SAME_LOWER")


@dataclass(frozen=True)
class Replacement:
    """A layer with its factors, and what they add to its bias, [outputs]."""

    layer: OnnxLayer
    factors: Factors
    shift: Matrix


Piece = tuple[list[NodeProto], list[TensorProto]]


def replaced(proto: ModelProto, by_name: Mapping[str, Replacement]) -> ModelProto:
    """A copy of the graph with these layers, by the names of their nodes, replaced. The last factor keeps the name."""
    made = ModelProto()
    made.CopyFrom(proto)
    del made.graph.node[:]
    del made.graph.value_info[:]
    for node in proto.graph.node:
        if node.name not in by_name:
            made.graph.node.append(node)
            continue
        nodes, tensors = piece(by_name[node.name])
        made.graph.node.extend(nodes)
        made.graph.initializer.extend(tensors)
    drop_unread(made)
    weights = Weights(made)
    for name, one in by_name.items():
        if one.layer.node.op_type == "MatMul" and np.any(one.shift):
            weights.add_behind(name, one.shift, one.layer.data_type)
    return made


def piece(one: Replacement) -> Piece:
    """The nodes that replace a layer, and their weights."""
    layer, stages = one.layer, one.factors.stages
    nodes: list[NodeProto] = []
    tensors: list[TensorProto] = []
    source = layer.source
    for number, stage in enumerate(stages, start=1):
        last = number == len(stages)
        name = layer.name if last else f"{layer.name}/factor_{number}"
        target = layer.target if last else f"{layer.target}/factor_{number}"
        bias = _bias(one) if last else None
        made = _convolution if layer.node.op_type == "Conv" else _product
        added, weights = made(layer, stage, name, source, target, bias)
        nodes += added
        tensors += weights
        source = target
    return nodes, tensors


def _bias(one: Replacement) -> Matrix | None:
    """With the shift; `None` if there is neither."""
    if one.layer.bias is None:
        return one.shift if np.any(one.shift) else None
    return one.layer.bias + one.shift


def _convolution(layer: OnnxLayer, stage: Stage, name: str, source: str, target: str, bias: Matrix | None) -> Piece:
    tensors = [_tensor(f"{name}/weight", stage.weight, layer.data_type)]
    if bias is not None:
        tensors.append(_tensor(f"{name}/bias", np.broadcast_to(bias, (stage.outputs,)), layer.data_type))
    node = helper.make_node("Conv", [source, *(one.name for one in tensors)], [target], name)
    axes, node_before = len(layer.dense.kernel), layer.node
    for key in ("strides", "dilations"):
        whole = list(attribute(node_before, key, [1] * axes))
        node.attribute.append(helper.make_attribute(key, [n if a in stage.axes else 1 for a, n in enumerate(whole)]))
    node.attribute.append(helper.make_attribute("kernel_shape", list(stage.weight.shape[2:])))
    node.attribute.append(helper.make_attribute("group", stage.groups))
    auto = attribute(node_before, "auto_pad", b"NOTSET")
    if auto in _SAME:
        node.attribute.append(helper.make_attribute("auto_pad", auto.decode()))
        return [node], tensors
    pads = [0] * (2 * axes) if auto == b"VALID" else list(attribute(node_before, "pads", [0] * (2 * axes)))
    own = [length if place % axes in stage.axes else 0 for place, length in enumerate(pads)]
    node.attribute.append(helper.make_attribute("pads", own))
    return [node], tensors


def _product(layer: OnnxLayer, stage: Stage, name: str, source: str, target: str, bias: Matrix | None) -> Piece:
    """A `Gemm` where the layer was one, else a `MatMul`, whose shift `replaced` puts behind it."""
    tensors = [_tensor(f"{name}/weight", stage.weight.T, layer.data_type)]
    if layer.node.op_type == "MatMul":
        return [helper.make_node("MatMul", [source, tensors[0].name], [target], name)], tensors
    if bias is not None:
        tensors.append(_tensor(f"{name}/bias", np.broadcast_to(bias, (stage.outputs,)), layer.data_type))
    return [helper.make_node("Gemm", [source, *(one.name for one in tensors)], [target], name)], tensors


def _tensor(name: str, values: Matrix, data_type: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=data_type)
    store(tensor, np.asarray(values))
    return tensor
