"""Cuts channels out of a graph: slices stored tensors, and changes the numbers that count channels."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from apps.agents.backends.onnx.nodes import store
from apps.agents.backends.onnx.pruning.tracing import Count, Trace
from apps.agents.backends.onnx.split_model import Array
from apps.agents.techniques.channel_pruning.channels import Kept


def cut(trace: Trace, kept: Kept) -> ModelProto:
    """A copy of the traced graph with only the `kept` channels. Shapes of inner tensors are dropped."""
    proto = ModelProto()
    proto.CopyFrom(trace.proto)
    del proto.graph.value_info[:]
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for name, array in sliced(trace, kept).items():
        store(stored[name], array)
    for count in trace.counts:
        _recount(proto, count, int(kept[count.ids].sum()), stored)
    return proto


def sliced(trace: Trace, kept: Kept) -> dict[str, Array]:
    """The stored tensors with channels, reduced to the `kept` ones, by name."""
    arrays: dict[str, Array] = {}
    for one in trace.cuts:
        array = arrays.get(one.tensor, trace.stored[one.tensor])
        arrays[one.tensor] = np.take(array, np.flatnonzero(kept[one.ids]), axis=one.axis)
    return arrays


def _recount(proto: ModelProto, count: Count, number: int, stored: dict[str, TensorProto]) -> None:
    node = next(one for one in proto.graph.node if one.name == count.node)
    if count.attribute is not None:
        entry = next(one for one in node.attribute if one.name == count.attribute)
        entry.i = number
        return
    assert count.entry is not None
    shape = numpy_helper.to_array(stored[node.input[1]]).copy()
    shape[count.entry] = number
    own = numpy_helper.from_array(shape, f"{node.name}/pruned_shape")
    node.input[1] = own.name
    proto.graph.initializer.append(own)
    stored[own.name] = proto.graph.initializer[-1]
