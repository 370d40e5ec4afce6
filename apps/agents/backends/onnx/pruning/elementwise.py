"""Elementwise operators on two or more tensors, with broadcasting: they couple channels."""

from __future__ import annotations

from onnx import NodeProto

from apps.agents.backends.onnx.pruning.tracing import Trace, pin_all
from apps.agents.techniques.channel_pruning.channels import Axis


def elementwise(trace: Trace, node: NodeProto) -> None:
    """Couples the channels of all operands on one axis. Stored operands are cut with them."""
    names = [name for name in node.input if name]
    rank = len(trace.shape(node.output[0]) or ())
    known = {name: axis for name in names if (axis := trace.axes.get(name)) is not None}
    if not known or not rank:
        return
    wide = {name: axis for name, axis in known.items() if len(axis.ids) > 1}
    first = next(iter((wide or known).items()))
    place = _from_end(trace, *first)
    ids = first[1].ids
    for name in names:
        if not _joins(trace, name, place, len(ids), first[1]):
            pin_all(trace, node, f"goes into {node.name} ({node.op_type}), together with a tensor on other axes")
            return
    trace.axes[node.output[0]] = Axis(rank + place, ids)


def _joins(trace: Trace, name: str, place: int, count: int, axis: Axis) -> bool:
    """Couple one operand with the channels that stand `place` from the end; `False` if that is impossible."""
    length = trace.length(name, place)
    own = trace.axes.get(name)
    if own is not None and _from_end(trace, name, own) != place:
        return False
    if length is None or (length == 1 and count > 1):
        if own is not None:
            trace.channels.pin(own.ids, f"{name} is broadcast over all channels")
        return True
    if own is not None:
        trace.channels.join(axis.ids, own.ids)
        return True
    if name in trace.stored:
        trace.cut(name, trace.stored[name].ndim + place, axis.ids)
        return True
    return False


def _from_end(trace: Trace, name: str, axis: Axis) -> int:
    """The position of the axis, counted from the end, as in broadcasting."""
    return axis.place - len(trace.shape(name) or ())
