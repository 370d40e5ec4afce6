"""Operators that move channels without mixing them: activations, pooling, reshapes, concatenations."""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto

from apps.agents.backends.onnx.nodes import attribute
from apps.agents.backends.onnx.pruning.tracing import Count, Trace, integers, pin_all
from apps.agents.techniques.channel_pruning.channels import Axis, Ids

_MOST_ELEMENTS = 4_000_000
"""Per example. Larger tensors are not followed through a reshape."""


def same_channels(trace: Trace, node: NodeProto) -> None:
    """Each channel becomes one channel, on the same axis."""
    if (axis := trace.axes.get(node.input[0])) is None:
        return
    if node.op_type.endswith("Pool") and (axis.place != 1 or len(node.output) > 1):
        pin_all(trace, node, f"goes into {node.name}, a pooling along another axis")
        return
    trace.axes[node.output[0]] = axis


def resize(trace: Trace, node: NodeProto) -> None:
    """Sizes of other axes may change. The new sizes must be stored, and must not include the number of channels."""
    source, target = node.input[0], node.output[0]
    axis = trace.axes.get(source)
    if axis is None:
        return
    same = trace.length(source, axis.place) == trace.length(target, axis.place)
    sizes = len(node.input) > 3 and node.op_type == "Resize" and bool(node.input[3])
    if not same or sizes or attribute(node, "axes") is not None:
        pin_all(trace, node, f"goes into {node.name} ({node.op_type}), whose number of channels is fixed")
        return
    trace.axes[target] = axis


def reduce(trace: Trace, node: NodeProto) -> None:
    """A mean or a sum over other axes."""
    source, rank = node.input[0], len(trace.shape(node.input[0]) or ())
    axis, axes = trace.axes.get(source), integers(trace, node, "axes", 1)
    if axis is None:
        return
    gone = {one % rank for one in axes} if axes else set(range(rank))
    if axis.place in gone:
        pin_all(trace, node, f"goes into {node.name} ({node.op_type}), which works across channels")
        return
    kept = bool(attribute(node, "keepdims", 1))
    shift = 0 if kept else sum(one < axis.place for one in gone)
    trace.axes[node.output[0]] = Axis(axis.place - shift, axis.ids)


def concatenate(trace: Trace, node: NodeProto) -> None:
    """Along the axis of channels they are appended; along any other axis they are coupled."""
    rank = len(trace.shape(node.output[0]) or ())
    known = [trace.axes.get(name) for name in node.input]
    if not rank or all(axis is None for axis in known):
        return
    where = int(attribute(node, "axis", 0)) % rank
    places = {axis.place for axis in known if axis is not None}
    if len(places) > 1 or (where not in places and None in known):
        pin_all(trace, node, f"goes into {node.name}, a concatenation along several axes")
        return
    place = places.pop()
    parts = [_ids(trace, name, place) for name in node.input]
    if place == where:
        trace.axes[node.output[0]] = Axis(place, np.concatenate(parts))
        return
    for other in parts[1:]:
        trace.channels.join(parts[0], other)
    trace.axes[node.output[0]] = Axis(place, parts[0])


def _ids(trace: Trace, name: str, place: int) -> Ids:
    if name in trace.axes:
        return trace.axes[name].ids
    return trace.channels.new(trace.length(name, place) or 0, f"{name} comes from an unknown source")


def rearrange(trace: Trace, node: NodeProto) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze and Transpose: followed by tracking the channels of one example."""
    source, target = node.input[0], node.output[0]
    if (axis := trace.axes.get(source)) is None:
        return
    moved = _moved(trace, node, axis)
    if moved is None or not _shape_follows(trace, node, moved, axis):
        pin_all(trace, node, f"goes into {node.name}, a {node.op_type} that mixes channels with other axes")
        return
    trace.axes[target] = moved


def _moved(trace: Trace, node: NodeProto, axis: Axis) -> Axis | None:
    before, after = trace.shape(node.input[0]), trace.shape(node.output[0])
    if before is None or after is None or math.prod(before[1:]) > _MOST_ELEMENTS:
        return None
    if node.op_type == "Transpose":
        order = list(attribute(node, "perm", range(len(before))[::-1]))
        return Axis(order.index(axis.place), axis.ids)
    one = before[0] if axis.place and after and before[0] == after[0] else None
    shapes = (before, after) if one is None else ((1, *before[1:]), (1, *after[1:]))
    spread = axis.ids.reshape([-1 if place == axis.place else 1 for place in range(len(before))])
    numbers = np.broadcast_to(spread, shapes[0]).reshape(shapes[1])
    for place in range(len(after)):
        line = numbers[tuple(slice(None) if one == place else slice(0, 1) for one in range(len(after)))]
        if line.size > 1 and np.array_equal(np.broadcast_to(line, numbers.shape), numbers):
            return Axis(place, line.reshape(-1))
    return None


def _shape_follows(trace: Trace, node: NodeProto, moved: Axis, axis: Axis) -> bool:
    """Whether a `Reshape` can give fewer channels. Notes the entry of its shape that counts them."""
    if node.op_type != "Reshape":
        return True
    shape = trace.stored.get(node.input[1])
    if shape is None or shape.ndim != 1 or moved.place >= len(shape):
        return False
    asked = int(shape[moved.place])
    if asked == 0:
        return moved.place == axis.place
    if asked > 0:
        trace.counts.append(Count(node.name, moved.ids, entry=moved.place))
    return True
