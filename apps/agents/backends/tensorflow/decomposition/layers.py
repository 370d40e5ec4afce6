"""Finds the convolutions and dense layers of a Keras model that can be decomposed, and why others cannot."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from apps.agents.backends.tensorflow.loading import layers_of as all_layers
from apps.agents.backends.tensorflow.pruning.flow import Array
from apps.agents.backends.tensorflow.pruning.rows import patches
from apps.agents.backends.tensorflow.pruning.tracing import Node, nodes_of
from apps.agents.measuring.statistics.moments import Matrix, Stack
from apps.agents.techniques.channel_pruning.row_sample import Take
from apps.agents.techniques.decomposition.layer import MOST_FEATURES, DenseLayer

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)
_KINDS = frozenset({*CONVOLUTIONS, keras.layers.Dense})
_CONVOLVING = "Conv"


@dataclass(frozen=True)
class KerasLayer:
    """A layer that can be replaced."""

    node: Node
    dense: DenseLayer

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def layer(self) -> Any:
        """The Keras layer."""
        return self.node.layer

    @property
    def source(self) -> Any:
        """The symbolic tensor that it reads."""
        return self.node.sources[0]


@dataclass(frozen=True)
class Layers:
    """The layers that can be replaced, in the model's order, and why others cannot."""

    found: tuple[KerasLayer, ...]
    left: Mapping[str, str]


def layers_of(model: Any) -> Layers:
    """The layers of a functional or sequential model of Keras 3."""
    nodes = list(nodes_of(model))
    calls = Counter(id(node.layer) for node in nodes)
    found, left = [], {}
    for node in nodes:
        if not (isinstance(node.layer, keras.layers.Dense) or _CONVOLVING in node.kind):
            continue
        reason = "its weight is shared between calls" if calls[id(node.layer)] > 1 else _why_left(node)
        if reason is not None:
            left[node.name] = reason
            continue
        found.append(KerasLayer(node, dense_of(node)))
    inside = {layer.name for layer in all_layers(model) if type(layer) in _KINDS} - {node.name for node in nodes}
    return Layers(tuple(found), left | dict.fromkeys(sorted(inside), "it is inside a nested model"))


def dense_of(node: Node) -> DenseLayer:
    kernel = np.asarray(node.layer.kernel.numpy(), np.float64)
    if not isinstance(node.layer, CONVOLUTIONS):
        return DenseLayer(node.name, kernel.T, rows=math.prod(_axes(node.sources[0])))
    return DenseLayer(
        node.name,
        np.moveaxis(kernel, (-1, -2), (0, 1)),
        before=_axes(node.sources[0]),
        after=_axes(node.targets[0]),
    )


def kernel_of(weight: Matrix, layer: Any) -> Array:
    """A weight [outputs, inputs, *kernel] as the Keras layer stores it."""
    return np.asarray(np.moveaxis(weight, (0, 1), (-1, -2)), np.float32).astype(layer.kernel.dtype)


def rows_read(layer: KerasLayer, source: Array, take: Take) -> Stack:
    """The rows that a layer multiplies by its weight, [1, rows, features], those taken; channels come first."""
    if not layer.dense.kernel:
        rows = source.reshape(-1, source.shape[-1])
        return rows[None, take(len(rows))]
    found = patches(layer.layer, source)
    rows = found.reshape(-1, found.shape[-1])
    chosen = rows[take(len(rows))].reshape(-1, math.prod(layer.dense.kernel), layer.dense.inputs)
    return np.ascontiguousarray(chosen.transpose(0, 2, 1)).reshape(1, len(chosen), -1)


def _why_left(node: Node) -> str | None:
    layer = node.layer
    if type(layer) not in _KINDS:
        return f"{node.kind} is not decomposed"
    if isinstance(layer, CONVOLUTIONS) and (reason := _why_convolution_left(layer)):
        return reason
    if any(None in tuple(tensor.shape)[1:] for tensor in (node.sources[0], node.targets[0])):
        return "its axes have no fixed lengths"
    outputs, features = int(layer.kernel.shape[-1]), math.prod(layer.kernel.shape[:-1])
    if features > MOST_FEATURES:
        return f"each of its outputs reads {features:,} numbers, more than {MOST_FEATURES:,}"
    return "it has a single input or output" if min(outputs, features) < 2 else None


def _why_convolution_left(layer: Any) -> str | None:
    if layer.groups != 1:
        return "it is a convolution in groups, which has little to share between channels"
    if layer.data_format != "channels_last":
        return "its channels are the first axis"
    if layer.padding not in ("valid", "same"):
        return f"its padding is {layer.padding}"
    if len(set(layer.strides)) > 1 or len(set(layer.dilation_rate)) > 1:
        return "its strides or dilations differ between axes, which no filter for single channels takes"
    return None


def _axes(tensor: Any) -> tuple[int, ...]:
    """The lengths between the examples and the channels."""
    return tuple(int(length) for length in tuple(tensor.shape)[1:-1])
