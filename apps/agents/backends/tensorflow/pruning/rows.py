"""The rows that a layer multiplies by its weights, and its sums before the activation function."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.agents.backends.tensorflow.pruning.flow import Array
from apps.agents.backends.tensorflow.pruning.tracing import Layer
from apps.agents.measuring.statistics.moments import Matrix, Stack
from apps.agents.techniques.channel_pruning.row_sample import Take


class Bare:
    """A layer without its activation function."""

    def __init__(self, layer: Any) -> None:
        self._twin = type(layer).from_config({**layer.get_config(), "activation": None})
        self._layer = layer

    def __call__(self, source: Array) -> Array:
        """The layer's sums for its input."""
        if not self._twin.built:
            self._twin.build(source.shape)
            self._twin.set_weights(self._layer.get_weights())
        return np.asarray(self._twin(source), np.float32)


def read_by(layer: Layer, source: Array, keras_layer: Any) -> Array:
    """What the part `layer` reads if its Keras layer reads `source`: in a separable convolution, the filter's output.

    `keras_layer` has the weights; it may belong to another model.
    """
    if not layer.separable or layer.depthwise:
        return source
    return _filtered(keras_layer, source)


def rows_of(layer: Layer, source: Array, target: Array, keras_layer: Any, take: Take) -> tuple[Stack, Stack]:
    """What a layer reads (from `read_by`) and gives, in the rows taken: x and y, [groups, rows, numbers]."""
    x = source if layer.separable or layer.node.kind == "Dense" else patches(keras_layer, source)
    x, y = x.reshape(-1, x.shape[-1]), target.reshape(-1, target.shape[-1])
    chosen = take(len(x))
    x, y = x[chosen], y[chosen]
    if not layer.depthwise:
        return x[None], y[None]
    channels = source.shape[-1]
    by_channel = x.reshape(len(x), -1, channels).transpose(2, 0, 1)
    return by_channel, y.reshape(len(y), channels, -1).transpose(1, 0, 2)


def patches(keras_layer: Any, source: Array) -> Array:
    """The patches that a convolution over one or two axes reads, [N, places…, kernel × channels]."""
    kernel, strides = list(keras_layer.kernel_size), list(keras_layer.strides)
    dilations = list(keras_layer.dilation_rate)
    flat = len(kernel) == 1
    if flat:
        source, kernel, strides, dilations = source[:, None], [1, *kernel], [1, *strides], [1, *dilations]
    found = tf.image.extract_patches(
        source, [1, *kernel, 1], [1, *strides, 1], [1, *dilations, 1], keras_layer.padding.upper()
    )
    return np.asarray(found[:, 0] if flat else found, np.float32)


def matrix_of(layer: Layer, keras_layer: Any) -> Matrix:
    """The layer's weights, [groups, targets, features]."""
    kernel = weight_of(layer, keras_layer).numpy().astype(np.float64)
    if layer.depthwise:
        return np.asarray(kernel.reshape(-1, *kernel.shape[-2:]).transpose(1, 2, 0), np.float64)
    return np.asarray(kernel.reshape(-1, kernel.shape[-1]).T[None], np.float64)


def store_matrix(layer: Layer, keras_layer: Any, weight: Matrix, bias: Matrix) -> None:
    """Store new weights [groups, targets, features] and a new bias [groups, targets] in a layer."""
    kernel = weight_of(layer, keras_layer)
    values = weight.transpose(2, 0, 1) if layer.depthwise else weight[0].T
    kernel.assign(values.reshape(kernel.shape))
    keras_layer.bias.assign(bias.reshape(-1))


def weight_of(layer: Layer, keras_layer: Any) -> Any:
    """The weight variable of a part."""
    return next(one for one in keras_layer.weights if one.name == layer.weight)


def features_of(layer: Layer, keras_layer: Any) -> int:
    """How many terms one sum of the layer has."""
    shape = weight_of(layer, keras_layer).shape
    return math.prod(shape[:-2] if layer.depthwise else shape[:-1])


def _filtered(keras_layer: Any, source: Array) -> Array:
    found = keras.ops.depthwise_conv(
        source,
        keras_layer.depthwise_kernel,
        strides=keras_layer.strides,
        padding=keras_layer.padding,
        data_format="channels_last",
        dilation_rate=keras_layer.dilation_rate,
    )
    return np.asarray(found, np.float32)
