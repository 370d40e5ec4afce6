"""Records where the channels of every tensor in a graph come from, and which stored tensors have channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from apps.agents.backends.onnx.nodes import attribute
from apps.agents.backends.onnx.split_model import Array, names_read
from apps.agents.techniques.channel_pruning.channels import Axis, Channels, Ids

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layer:
    """A node whose weight has an axis of channels."""

    node: NodeProto
    source: str
    """The tensor that it reads."""
    target: str
    """The tensor that it gives."""
    weight: str
    bias: str | None
    ids_in: Ids | None
    """The channels that it reads; `None` if they are unknown."""
    ids_out: Ids
    input_axis: int
    """The weight's axis of input channels. A depthwise convolution has channels on axis 0 only."""
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
    """The findings about the channels of one graph. `shapes` are those of a run, `stored` has the stored tensors."""

    proto: ModelProto
    shapes: Shapes
    channels: Channels = field(default_factory=Channels)
    axes: dict[str, Axis] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    stored: dict[str, Array] = field(default_factory=dict)

    def cut(self, tensor: str, axis: int, ids: Ids) -> None:
        """Note that `tensor` has channels along `axis`. A tensor used in several places couples its channels."""
        for known in self.cuts:
            if known.tensor == tensor and known.axis == axis:
                self.channels.join(known.ids, ids)
                return
        self.cuts.append(Cut(tensor, axis, ids))

    def pin(self, name: str, reason: str) -> None:
        """The channels of a tensor must stay, if any are known."""
        if name in self.axes:
            self.channels.pin(self.axes[name].ids, reason)

    def length(self, name: str, place: int) -> int | None:
        """The length of an axis; `None` if the tensor has no axis at `place`, which may count from the end."""
        shape = self.shape(name)
        if shape is None or not -len(shape) <= place < len(shape):
            return None
        return shape[place]

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a stored tensor, or of a tensor in the run; `None` if it is unknown."""
        return self.stored[name].shape if name in self.stored else self.shapes.get(name)


def start(proto: ModelProto, shapes: Shapes) -> Trace:
    """A trace that knows only the stored tensors."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    return Trace(proto, shapes, stored=stored)


def integers(trace: Trace, node: NodeProto, name: str, place: int) -> list[int] | None:
    """Integers that a node has as an attribute or, in later opsets, as its input at `place`.

    `None` if it has neither, or if they are computed.
    """
    if (given := attribute(node, name)) is not None:
        return [int(one) for one in np.atleast_1d(np.asarray(given))]
    if len(node.input) > place and node.input[place] in trace.stored:
        return [int(one) for one in trace.stored[node.input[place]].reshape(-1)]
    return None


def pin_all(trace: Trace, node: NodeProto, reason: str) -> None:
    """All channels that a node reads must stay."""
    for name in names_read(node):
        trace.pin(name, reason)
