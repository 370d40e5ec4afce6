"""Where the channels of every tensor of a graph come from, and which stored tensors have an axis of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from apps.agents.backends.onnx.workbench import Array, names_read
from apps.agents.techniques.channel_pruning.channels import Axis, Channels, Ids

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layer:
    """A node with a weight over channels."""

    node: NodeProto
    source: str
    """The tensor that it reads."""
    target: str
    """The tensor that it gives."""
    weight: str
    bias: str | None
    ids_in: Ids | None
    """Channels of what it reads; `None` where nothing is known of them."""
    ids_out: Ids
    input_axis: int
    """Of the weight, where input channels stand; a depthwise convolution has its channels on axis 0 alone."""
    output_axis: int
    depthwise: bool = False

    @property
    def name(self) -> str:
        return str(self.node.name)


@dataclass(frozen=True)
class Cut:
    """A stored tensor with channels along one of its axes."""

    tensor: str
    axis: int
    ids: Ids


@dataclass(frozen=True)
class Count:
    """A number in the graph that counts channels: an attribute of a node, or an entry of a stored shape."""

    node: str
    ids: Ids
    attribute: str | None = None
    entry: int | None = None


@dataclass
class Trace:
    """What was found out about the channels of one graph. Stored tensors are in `stored`, shapes those of a run."""

    proto: ModelProto
    shapes: Shapes
    channels: Channels = field(default_factory=Channels)
    axes: dict[str, Axis] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    stored: dict[str, Array] = field(default_factory=dict)

    def cut(self, tensor: str, axis: int, ids: Ids) -> None:
        """Note that `tensor` has channels along `axis`. One that stands in several places couples what it has there."""
        for known in self.cuts:
            if known.tensor == tensor and known.axis == axis:
                self.channels.join(known.ids, ids)
                return
        self.cuts.append(Cut(tensor, axis, ids))

    def pin(self, name: str, reason: str) -> None:
        """The channels of a tensor must stay, where it has any that are known."""
        if name in self.axes:
            self.channels.pin(self.axes[name].ids, reason)

    def length(self, name: str, place: int) -> int | None:
        """How long an axis of a tensor is; `None` where it has none at that `place`, which may count from the end."""
        shape = self.shape(name)
        if shape is None or not -len(shape) <= place < len(shape):
            return None
        return shape[place]

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Of a stored tensor, or as it was seen in a run; `None` where the run did not show it."""
        return self.stored[name].shape if name in self.stored else self.shapes.get(name)


def start(proto: ModelProto, shapes: Shapes) -> Trace:
    """A trace that knows the stored tensors and nothing else."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    return Trace(proto, shapes, stored=stored)


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    found = (helper.get_attribute_value(one) for one in node.attribute if one.name == name)
    return next(found, default)


def integers(trace: Trace, node: NodeProto, name: str, place: int) -> list[int] | None:
    """Whole numbers that a node has as an attribute or, since a later opset, as its input at `place`.

    `None` where it has neither, or where they are computed.
    """
    if (given := attribute(node, name)) is not None:
        return [int(one) for one in np.atleast_1d(np.asarray(given))]
    if len(node.input) > place and node.input[place] in trace.stored:
        return [int(one) for one in trace.stored[node.input[place]].reshape(-1)]
    return None


def pin_all(trace: Trace, node: NodeProto, reason: str) -> None:
    """Everything that a node reads must stay as it is."""
    for name in names_read(node):
        trace.pin(name, reason)
