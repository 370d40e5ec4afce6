"""Operators with weights: convolutions, matrix products, normalizations. They make channels, or scale each one."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from apps.agents.backends.onnx.nodes import attribute
from apps.agents.backends.onnx.pruning.tracing import Count, Layer, Trace, pin_all
from apps.agents.techniques.channel_pruning.channels import Axis, Ids

_CHANNELS = 1
"""The axis of channels in what convolutions read and give."""


def convolution(trace: Trace, node: NodeProto) -> None:
    """Dense ones read channels and make new ones, depthwise ones pass them on, other grouped ones must stay whole."""
    source, weight = node.input[0], node.input[1]
    if weight not in trace.stored or not _on(trace, source, _CHANNELS) or not _bias_is_plain(trace, node):
        _opaque(trace, node, "a convolution whose weight or bias is computed")
        return
    shape, group = trace.stored[weight].shape, int(attribute(node, "group", 1))
    if group == 1:
        _dense(trace, node, input_axis=1, output_axis=0, place=_CHANNELS)
    elif shape[1] == 1:
        _depthwise(trace, node, shape[0] // group)
    else:
        _opaque(trace, node, f"a convolution in {group} groups")


def transposed_convolution(trace: Trace, node: NodeProto) -> None:
    """Like a convolution, with the weight's first two axes swapped."""
    group = int(attribute(node, "group", 1))
    if node.input[1] not in trace.stored or group != 1 or not _on(trace, node.input[0], _CHANNELS):
        _opaque(trace, node, f"a transposed convolution in {group} groups, or with a computed weight")
        return
    _dense(trace, node, input_axis=0, output_axis=1, place=_CHANNELS)


def product(trace: Trace, node: NodeProto) -> None:
    """A matrix product with a stored right side. Channels are the last axis."""
    source, weight = node.input[0], node.input[1]
    plain = weight in trace.stored and trace.stored[weight].ndim == 2 and not attribute(node, "transA", 0)
    rank = len(trace.shape(source) or ())
    if not plain or not rank or not _on(trace, source, rank - 1) or not _bias_is_plain(trace, node):
        _opaque(trace, node, "a matrix product of two computed tensors")
        return
    flipped = bool(attribute(node, "transB", 0))
    _dense(trace, node, input_axis=int(flipped), output_axis=int(not flipped), place=rank - 1)


def normalization(trace: Trace, node: NodeProto) -> None:
    """Each channel has its own scale, offset, mean and variance."""
    source = node.input[0]
    axis = trace.axes.get(source)
    if axis is None:
        return
    stored = all(name in trace.stored for name in node.input[1:])
    if axis.place != _CHANNELS or not stored:
        pin_all(trace, node, f"goes into {node.name}, a normalization along another axis")
        return
    for name in node.input[1:]:
        trace.cut(name, 0, axis.ids)
    trace.axes[node.output[0]] = axis


def _dense(trace: Trace, node: NodeProto, *, input_axis: int, output_axis: int, place: int) -> None:
    source, weight = node.input[0], node.input[1]
    known = trace.axes.get(source)
    made = trace.channels.new(trace.stored[weight].shape[output_axis])
    if known is not None:
        trace.cut(weight, input_axis, known.ids)
    trace.cut(weight, output_axis, made)
    bias = _cut_bias(trace, node, made)
    layer = Layer(
        node, source, node.output[0], weight, bias, known.ids if known else None, made, input_axis, output_axis
    )
    trace.layers.append(layer)
    trace.axes[node.output[0]] = Axis(place, made)


def _depthwise(trace: Trace, node: NodeProto, multiplier: int) -> None:
    source, weight = node.input[0], node.input[1]
    known = trace.axes.get(source)
    count = trace.stored[weight].shape[0] // multiplier
    taken = known.ids if known else trace.channels.new(count, f"is read by {node.name} from an unknown source")
    made = np.repeat(taken, multiplier)
    trace.cut(weight, 0, made)
    trace.counts.append(Count(node.name, taken, attribute="group"))
    bias = _cut_bias(trace, node, made)
    trace.layers.append(Layer(node, source, node.output[0], weight, bias, taken, made, 0, 0, depthwise=True))
    trace.axes[node.output[0]] = Axis(_CHANNELS, made)


def _cut_bias(trace: Trace, node: NodeProto, made: Ids) -> str | None:
    """The bias, if there is one. A single number for all channels is not cut."""
    bias = node.input[2] if len(node.input) > 2 else ""
    if not bias:
        return None
    if trace.stored[bias].size == len(made):
        trace.cut(bias, trace.stored[bias].ndim - 1, made)
    return bias


def _bias_is_plain(trace: Trace, node: NodeProto) -> bool:
    """Whether there is no bias, or a stored one with a number for each channel or for all of them."""
    bias = node.input[2] if len(node.input) > 2 else ""
    if not bias:
        return True
    stored = trace.stored.get(bias)
    return stored is not None and stored.size in (1, stored.shape[-1] if stored.ndim else 1)


def _on(trace: Trace, name: str, place: int) -> bool:
    """Whether the channels of a tensor are on the axis `place`, or unknown."""
    return name not in trace.axes or trace.axes[name].place == place


def _opaque(trace: Trace, node: NodeProto, what: str) -> None:
    """Its inputs cannot be cut, and its output stays whole."""
    pin_all(trace, node, f"goes into {node.name}, {what}")
    length = trace.length(node.output[0], _CHANNELS)
    if length is not None:
        made = trace.channels.new(length, f"comes out of {node.name}, {what}")
        trace.axes[node.output[0]] = Axis(_CHANNELS, made)
