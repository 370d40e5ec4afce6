"""Layers with weights: convolutions and dense layers make channels, filters and norms have weights for each channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.agents.backends.tensorflow.pruning.tracing import Count, Layer, Node, Trace
from apps.agents.techniques.channel_pruning.channels import Ids

_IN, _OUT = -2, -1
"""Axes of a kernel."""
_MIXING = frozenset({"softmax", "log_softmax", "sparsemax", "glu"})
"""Activation functions that look at several channels at once."""


def dense(trace: Trace, node: Node) -> None:
    """Channels are the last axis, whatever precedes it."""
    _makes(trace, node, "kernel", trace.of(node.sources[0]), "units")


def convolution(trace: Trace, node: Node) -> None:
    """Reads channels and makes new ones. A grouped convolution must stay whole."""
    if why := _why_opaque(node):
        trace.pin(node, f"goes into {node.name}, {why}")
        return
    _makes(trace, node, "kernel", trace.of(node.sources[0]), "filters")


def depthwise(trace: Trace, node: Node) -> None:
    """Passes channels on, each as `depth_multiplier` channels."""
    if why := _why_opaque(node):
        trace.pin(node, f"goes into {node.name}, {why}")
        return
    made = _filters(trace, node, "kernel", node.name)
    trace.cut(node, "bias", 0, made)
    _spread_activation(trace, node, made)
    trace.give(node, made)


def separable(trace: Trace, node: Node) -> None:
    """A depthwise filter, and a convolution that alone reads the filter's channels."""
    if why := _why_opaque(node):
        trace.pin(node, f"goes into {node.name}, {why}")
        return
    between = _filters(trace, node, "depthwise_kernel", f"{node.name}/depthwise")
    _makes(trace, node, "pointwise_kernel", between, "filters")


def normalization(trace: Trace, node: Node) -> None:
    """A batch norm has a scale, an offset, a mean and a variance for each channel."""
    ids, rank = trace.of(node.sources[0]), len(node.sources[0].shape)
    if node.layer.axis not in (-1, rank - 1):
        trace.pin(node, f"goes into {node.name}, a normalization along another axis")
        return
    for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
        trace.cut(node, weight, 0, ids)
    trace.give(node, ids)


def prelu(trace: Trace, node: Node) -> None:
    """Has a slope for each channel, unless the last axis shares one."""
    ids = trace.of(node.sources[0])
    if node.layer.alpha.shape[-1] > 1:
        trace.cut(node, "alpha", -1, ids)
    trace.give(node, ids)


def mixes(activation: Any) -> bool:
    """Whether an activation function looks at several channels at once."""
    return getattr(activation, "__name__", "") in _MIXING


def _makes(trace: Trace, node: Node, weight: str, taken: Ids | None, count: str) -> None:
    made = trace.channels.new(int(node.targets[0].shape[-1]))
    trace.cut(node, weight, _IN, taken)
    trace.cut(node, weight, _OUT, made)
    trace.cut(node, "bias", 0, made)
    trace.counts[node.name] = Count(count, made)
    trace.layers.append(Layer(node.name, node, weight, taken, made))
    _spread_activation(trace, node, made)
    trace.give(node, made)


def _filters(trace: Trace, node: Node, weight: str, name: str) -> Ids:
    source = node.sources[0]
    taken = trace.of(source)
    if taken is None:
        taken = trace.channels.new(int(source.shape[-1]), f"is read by {node.name} from an unknown source")
    made: Ids = np.repeat(taken, int(node.layer.depth_multiplier))
    trace.cut(node, weight, _IN, taken)
    trace.layers.append(Layer(name, node, weight, taken, made, depthwise=True))
    return made


def _spread_activation(trace: Trace, node: Node, made: Ids) -> None:
    if mixes(node.layer.activation):
        trace.channels.pin(made, f"goes into the {node.layer.activation.__name__} of {node.name}, which mixes channels")


def _why_opaque(node: Node) -> str | None:
    if node.layer.data_format != "channels_last":
        return "whose channels are the first axis"
    if node.layer.padding not in ("valid", "same"):
        return f"a convolution with {node.layer.padding} padding"
    if (groups := getattr(node.layer, "groups", 1)) != 1:
        return f"a convolution in {groups} groups"
    return None
