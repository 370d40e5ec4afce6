"""Which layers of a Keras model share channels, and what is left of each layer when some are removed.

Every tensor has a space of channels. A convolution or a dense layer creates a new space, layers that work channel by
channel pass on their input's, and tensors that are added share one. A space is fixed if a layer mixes channels in an
unknown way, and at the model's inputs and outputs. Channels are the last axis.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAKERS = frozenset(("Conv1D", "Conv2D", "Conv3D", "Dense", "SeparableConv1D", "SeparableConv2D"))
"""Layers whose output channels are rows of their own weights."""
_UNITS = {"Dense": "units"}
_PASSING = frozenset(
    (
        *("BatchNormalization", "Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Dropout", "SpatialDropout2D"),
        *("GaussianNoise", "DepthwiseConv1D", "DepthwiseConv2D", "Identity", "Rescaling"),
        *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D"),
        *("GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "ZeroPadding1D", "ZeroPadding2D"),
        *("UpSampling1D", "UpSampling2D", "Cropping1D", "Cropping2D", "Relu", "Relu6", "Silu", "Sigmoid", "Tanh"),
    )
)
"""Layers and operations that keep channels separate."""
_JOINING = frozenset(("Add", "Subtract", "Average", "Maximum", "Minimum", "Multiply"))


@dataclass
class Space:
    """A set of channels. A space that was joined to another refers to it."""

    size: int
    fixed: bool = False
    makers: list[Any] = field(default_factory=list)
    joined_to: Space | None = None

    @property
    def root(self) -> Space:
        return self if self.joined_to is None else self.joined_to.root

    def join(self, other: Space) -> None:
        """Merge two spaces. Spaces of different sizes are broadcast, and are not merged."""
        mine, its = self.root, other.root
        if mine is its:
            return
        if mine.size != its.size:
            mine.fixed = its.fixed = True
            return
        its.joined_to = mine
        mine.makers += its.makers
        mine.fixed |= its.fixed


@dataclass(frozen=True)
class Place:
    """The meaning of a tensor's last axis: the channels of `space`, repeated `repeats` times after a flattening."""

    space: Space
    repeats: int = 1


@dataclass(frozen=True)
class Wiring:
    """The inputs and outputs of each layer, by its name. A layer that is used twice is left out."""

    takes: Mapping[str, Place]
    gives: Mapping[str, Place]

    def spaces(self) -> Iterator[Space]:
        """Each space whose channels may be removed, once."""
        seen: set[int] = set()
        for place in self.gives.values():
            space = place.space.root
            if id(space) not in seen and not space.fixed and space.makers:
                seen.add(id(space))
                yield space


def wiring_of(model: Any) -> Wiring:
    """The wiring of a functional or sequential model of Keras 3."""
    graph = getattr(model, "_functional", None) or model
    places: dict[int, Place] = {}
    takes: dict[str, Place] = {}
    gives: dict[str, Place] = {}
    nodes = [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]
    uses = Counter(node.operation.name for node in nodes)
    for node in nodes:
        name = node.operation.name
        inputs = [places[id(tensor)] for tensor in node.input_tensors]
        place = _through(node.operation, node, inputs, used_twice=uses[name] > 1)
        for tensor in node.outputs:
            places[id(tensor)] = place
        if uses[name] == 1:
            gives[name] = place
            if inputs:
                takes[name] = inputs[0]
    for tensor in graph.outputs:
        places[id(tensor)].space.root.fixed = True
    return Wiring(takes, gives)


def _through(operation: Any, node: Any, inputs: list[Place], *, used_twice: bool) -> Place:
    """The place of a layer's output."""
    kind, shape = type(operation).__name__, tuple(node.outputs[0].shape)
    if kind in MAKERS and not used_twice and getattr(operation, "groups", 1) == 1 and _channels_last(operation):
        space = Space(int(shape[-1]), makers=[operation])
        if kind.startswith("Separable") and operation.depth_multiplier != 1:
            _fix(inputs)
        return Place(space)
    if kind in _PASSING and inputs and not used_twice and _keeps_channels(operation):
        return inputs[0]
    if kind == "Flatten" and inputs and not used_twice and inputs[0].repeats == 1:
        axes = tuple(node.input_tensors[0].shape)[1:-1]
        if all(axis is not None for axis in axes):
            return Place(inputs[0].space, math.prod(axes))
    if kind in _JOINING and len(inputs) == len(node.input_tensors) and len({one.repeats for one in inputs}) == 1:
        for other in inputs[1:]:
            inputs[0].space.join(other.space)
        return inputs[0]
    _fix(inputs)
    return Place(Space(int(shape[-1] or 0) if shape else 0, fixed=True))


def _fix(places: list[Place]) -> None:
    for place in places:
        place.space.root.fixed = True


def _channels_last(operation: Any) -> bool:
    return getattr(operation, "data_format", None) in (None, "channels_last")


def _keeps_channels(operation: Any) -> bool:
    axis = getattr(operation, "axis", -1)
    last = axis == -1 or isinstance(axis, list | tuple) or axis == len(getattr(operation.output, "shape", ())) - 1
    return _channels_last(operation) and last and getattr(operation, "depth_multiplier", 1) == 1


# --- removing channels ------------------------------------------------------------------------------------------------


def importance(space: Space) -> Any:
    """The L2 norm of each channel's weights, relative to the mean for each making layer; float [channels]."""
    total = np.zeros(space.size)
    for maker in space.makers:
        kernel = _making_kernel(maker)
        norms = np.sqrt(np.square(kernel.reshape(-1, kernel.shape[-1])).sum(0))
        total += norms / max(float(norms.mean()), 1e-12)
    return total


def _making_kernel(maker: Any) -> Any:
    name = "pointwise_kernel" if type(maker).__name__.startswith("Separable") else "kernel"
    return getattr(maker, name).numpy()


def thinner_config(layer: Any, left: int) -> dict[str, Any]:
    """A layer's configuration with `left` channels."""
    config: dict[str, Any] = layer.get_config()
    config[_UNITS.get(type(layer).__name__, "filters")] = left
    return config


def sliced_weights(layer: Any, taken: Any, given: Any) -> list[Any]:
    """A layer's weights at the input channels `taken` and the output channels `given`, both index arrays."""
    kind, arrays = type(layer).__name__, {weight.name: weight.numpy() for weight in layer.weights}
    found = []
    for name, array in arrays.items():
        if kind in MAKERS and name in ("kernel", "pointwise_kernel"):
            array = array[..., taken, :][..., given]
        elif name == "depthwise_kernel" or (kind.startswith("Depthwise") and name == "kernel"):
            array = array[..., taken, :]
        elif array.ndim == 1 and kind in MAKERS:
            array = array[given]
        elif array.ndim >= 1 and array.shape[-1] > 1:
            array = array[..., taken]
        found.append(array)
    return found


def spread(kept: Any, place: Place) -> Any:
    """Indices of the channels `kept` along a tensor's last axis, the same for every position of a flattened map."""
    offsets = np.arange(place.repeats)[:, None] * place.space.root.size
    return (offsets + kept[None, :]).ravel()
