"""Records where the channels of every tensor in a Keras model come from, and which variables have an axis of channels.

Channels are the last axis of every tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apps.agents.techniques.channel_pruning.channels import Channels, Ids


@dataclass(frozen=True)
class Node:
    """One call of a layer or an operation."""

    layer: Any
    sources: tuple[Any, ...]
    """The symbolic tensors that it reads."""
    targets: tuple[Any, ...]
    call: Any
    """Keras' own record of the call."""

    @property
    def name(self) -> str:
        return str(self.layer.name)

    @property
    def kind(self) -> str:
        return type(self.layer).__name__


@dataclass(frozen=True)
class Layer:
    """A variable that mixes or filters channels. A separable convolution has two; the first is depthwise."""

    name: str
    node: Node
    weight: str
    """Name of the variable, [kernel…, in, out], or [kernel…, in, multiplier] of a depthwise one."""
    ids_in: Ids | None
    """The channels that it reads; `None` if they are unknown."""
    ids_out: Ids
    depthwise: bool = False

    @property
    def separable(self) -> bool:
        """Whether it is a part of a separable convolution."""
        return self.node.kind.startswith("Separable")


@dataclass(frozen=True)
class Cut:
    """A variable of a layer with channels along one of its axes."""

    weight: str
    axis: int
    ids: Ids


@dataclass(frozen=True)
class Count:
    """A number in a layer's configuration that counts channels; it may be the last in a list."""

    key: str
    ids: Ids
    last_of_list: bool = False


@dataclass
class Trace:
    """The findings about the channels of one model."""

    model: Any
    channels: Channels = field(default_factory=Channels)
    layers: list[Layer] = field(default_factory=list)
    cuts: dict[str, list[Cut]] = field(default_factory=dict)
    """By the layer's name."""
    counts: dict[str, Count] = field(default_factory=dict)
    """By the layer's name."""
    ids: dict[int, Ids] = field(default_factory=dict)
    """The channels of each tensor, if known, by the tensor's `id`."""
    before: dict[int, frozenset[str]] = field(default_factory=dict)
    """The names of the `layers` that lead to each tensor, by the tensor's `id`."""

    def of(self, tensor: Any) -> Ids | None:
        return self.ids.get(id(tensor))

    def give(self, node: Node, ids: Ids | None) -> None:
        """The node's output has these channels; `None` if they are unknown."""
        if ids is not None:
            self.ids[id(node.targets[0])] = ids

    def cut(self, node: Node, weight: str, axis: int, ids: Ids | None) -> None:
        """Note that a variable has channels along `axis`, if they are known and the layer has the variable."""
        if ids is not None and any(one.name == weight for one in node.layer.weights):
            self.cuts.setdefault(node.name, []).append(Cut(weight, axis, ids))

    def pin(self, node: Node, reason: str) -> None:
        """All channels that a node reads must stay."""
        for tensor in node.sources:
            if (ids := self.of(tensor)) is not None:
                self.channels.pin(ids, reason)


def nodes_of(model: Any) -> Iterator[Node]:
    """The calls of a functional or sequential model of Keras 3, sources before readers. Of other models none."""
    graph = getattr(model, "_functional", None) or model
    by_depth = getattr(graph, "_nodes_by_depth", {})
    for depth in sorted(by_depth, reverse=True):
        for call in by_depth[depth]:
            if call.input_tensors:
                yield Node(call.operation, tuple(call.input_tensors), tuple(call.outputs), call)


def nodes_by_name(model: Any) -> dict[str, Node]:
    """The last call of each layer, by its name."""
    return {node.name: node for node in nodes_of(model)}
