"""How each kind of layer passes channels on. Other layers pass none on, and their inputs must stay whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras

from apps.agents.backends.tensorflow.pruning.joining import concatenate, elementwise
from apps.agents.backends.tensorflow.pruning.reshaping import flatten, reshape
from apps.agents.backends.tensorflow.pruning.tracing import Node, Trace, nodes_of
from apps.agents.backends.tensorflow.pruning.weighted import (
    convolution,
    dense,
    depthwise,
    mixes,
    normalization,
    prelu,
    separable,
)

Rule = Callable[[Trace, Node], None]
_ACTIVATIONS = (
    *("ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise"),
    *("GaussianDropout", "AlphaDropout", "ActivityRegularization", "Identity"),
)
_OPERATIONS = (
    *("Relu", "Relu6", "Silu", "Sigmoid", "Tanh", "Gelu", "Elu", "Selu", "LeakyRelu", "HardSigmoid", "HardSilu"),
    *("HardSwish", "Softplus", "Softsign", "Mish"),
)
_SPATIAL = (
    *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "ZeroPadding1D", "ZeroPadding2D"),
    *("UpSampling1D", "UpSampling2D", "Cropping1D", "Cropping2D"),
)
_POINTWISE = ("Add", "Subtract", "Average", "Maximum", "Minimum", "Multiply")


def _same_channels(trace: Trace, node: Node) -> None:
    trace.give(node, trace.of(node.sources[0]))


def _spatial(trace: Trace, node: Node) -> None:
    if getattr(node.layer, "data_format", "channels_last") != "channels_last":
        trace.pin(node, f"goes into {node.name}, whose channels are the first axis")
        return
    _same_channels(trace, node)


def _activation(trace: Trace, node: Node) -> None:
    if mixes(node.layer.activation):
        trace.pin(node, f"goes into {node.name}, which mixes channels")
        return
    _same_channels(trace, node)


RULES: dict[str, Rule] = {
    **dict.fromkeys((*_ACTIVATIONS, *_OPERATIONS), _same_channels),
    **dict.fromkeys(_SPATIAL, _spatial),
    **dict.fromkeys(_POINTWISE, elementwise),
    **dict.fromkeys(("Conv1D", "Conv2D"), convolution),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), separable),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), depthwise),
    "Activation": _activation,
    "BatchNormalization": normalization,
    "Concatenate": concatenate,
    "Dense": dense,
    "Flatten": flatten,
    "PReLU": prelu,
    "Reshape": reshape,
}
"""By the class name of Keras' own layers and operations."""


def trace_channels(model: Any) -> Trace:
    """The trace of a functional or sequential model of Keras 3."""
    trace, nodes = Trace(model), list(nodes_of(model))
    uses = Counter(id(node.layer) for node in nodes)
    for node in nodes:
        _follow(trace, node, repeated=uses[id(node.layer)] > 1)
        above = frozenset[str]().union(*(trace.before.get(id(one), frozenset()) for one in node.sources))
        own = {layer.name for layer in trace.layers if layer.node is node}
        trace.before.update((id(target), above | own) for target in node.targets)
    for tensor in model.outputs:
        if (ids := trace.of(tensor)) is not None:
            trace.channels.pin(ids, "goes to the model's output")
    return trace


def _follow(trace: Trace, node: Node, *, repeated: bool) -> None:
    rule = RULES.get(node.kind) if _is_plain(node) else None
    if rule is None:
        trace.pin(node, f"goes into {node.name}, a layer ({node.kind}) whose channels cannot be followed")
    elif repeated and _depends_on_channels(node):
        trace.pin(node, f"goes into {node.name}, which is used more than once")
    else:
        _apply(rule, trace, node)


def _apply(rule: Rule, trace: Trace, node: Node) -> None:
    """Follow one layer. If the rule fails, for example at an axis of unknown length, its inputs must stay whole."""
    try:
        rule(trace, node)
    except (AttributeError, IndexError, TypeError, ValueError):
        trace.pin(node, f"goes into {node.name} ({node.kind}), which could not be followed")


def _depends_on_channels(node: Node) -> bool:
    """Whether the layer depends on the number of its channels."""
    return bool(node.kind == "Reshape" or getattr(node.layer, "weights", ()))


def _is_plain(node: Node) -> bool:
    """Whether the layer is Keras' own, gives one tensor, and reads only tensors and single values."""
    own = type(node.layer).__module__.startswith("keras.")
    given = [*node.call.arguments.args, *node.call.arguments.kwargs.values()]
    flat = [one for part in given for one in (part if isinstance(part, list | tuple) else [part])]
    plain = all(one is None or isinstance(one, bool | int | float | str | keras.KerasTensor) for one in flat)
    return own and plain and len(node.targets) == 1
