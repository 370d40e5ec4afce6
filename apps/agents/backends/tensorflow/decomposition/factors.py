"""Keras layers that replace a layer, and models with such layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from apps.agents.backends.tensorflow.decomposition.layers import CONVOLUTIONS, KerasLayer, kernel_of
from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.factors import Factors, Stage

_PLAIN = dict.fromkeys(
    (
        *("kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint"),
        *("lora_rank", "quantization_config"),
    )
)
_ALONE = {1: keras.layers.DepthwiseConv1D, 2: keras.layers.DepthwiseConv2D}


@dataclass(frozen=True)
class Replacement:
    """A layer with its factors, and what they add to its bias, [outputs]."""

    layer: KerasLayer
    factors: Factors
    shift: Matrix

    @property
    def biased(self) -> bool:
        return bool(self.layer.layer.use_bias) or bool(np.any(self.shift))


def replaced(model: Any, by_name: Mapping[str, Replacement]) -> Any:
    """A new model with these layers, by their names, replaced. The last factor has the layer's name."""
    earlier: dict[int, list[Any]] = {}
    made: dict[str, list[Any]] = {}

    def cloned(layer: Any) -> Any:
        if layer.name not in by_name:
            return type(layer).from_config(layer.get_config())
        made[layer.name] = layers_for(by_name[layer.name])
        *before, last = made[layer.name]
        earlier[id(last)] = before
        return last

    def called(layer: Any, *given: Any, **named: Any) -> Any:
        for one in earlier.get(id(layer), ()):
            given = (one(*given, **named),)
        return layer(*given, **named)

    new = keras.models.clone_model(_functional(model), clone_function=cloned, call_function=called)
    for layer in model.layers:
        if layer.name in by_name:
            store(made[layer.name], by_name[layer.name])
        elif layer.weights:
            new.get_layer(layer.name).set_weights(layer.get_weights())
    return new


def layers_for(one: Replacement) -> list[Any]:
    """The factors as layers without their weights; the last has the name, the activation and the bias."""
    stages = one.factors.stages
    return [_layer(one, stage, number, last=stage is stages[-1]) for number, stage in enumerate(stages, 1)]


def store(layers: list[Any], one: Replacement) -> None:
    """Give built layers the factors' weights."""
    for layer, stage in zip(layers, one.factors.stages, strict=True):
        turned = np.swapaxes(stage.weight, 0, 1) if stage.groups > 1 else stage.weight
        layer.kernel.assign(kernel_of(turned, layer))
    if one.biased:
        given = one.layer.layer.bias
        bias = one.shift if given is None else np.asarray(given.numpy(), np.float64) + one.shift
        layers[-1].bias.assign(bias.astype(np.float32))


def _layer(one: Replacement, stage: Stage, number: int, *, last: bool) -> Any:
    whole = one.layer.layer
    config = {name: value for name, value in whole.get_config().items() if name not in _PLAIN}
    config["use_bias"] = last and one.biased
    if not last:
        config |= {"name": f"{whole.name}_factor_{number}", "activation": None}
    if not isinstance(whole, CONVOLUTIONS):
        return keras.layers.Dense.from_config({**config, "units": stage.outputs})
    kernel = stage.weight.shape[2:]
    config |= {
        "kernel_size": kernel,
        "strides": _along(whole.strides, stage),
        "dilation_rate": _along(whole.dilation_rate, stage),
    }
    if stage.groups == 1:
        return type(whole).from_config({**config, "filters": stage.outputs})
    named = ("name", "trainable", "dtype", "kernel_size", "strides", "padding", "dilation_rate", "use_bias")
    return _ALONE[len(kernel)](**{name: config[name] for name in named if name in config})


def _along(numbers: tuple[int, ...], stage: Stage) -> tuple[int, ...]:
    """A layer's numbers along the axes that a stage works along."""
    return tuple(number if axis in stage.axes else 1 for axis, number in enumerate(numbers))


def _functional(model: Any) -> Any:
    """A sequential model as a functional one, whose calls can be changed."""
    if not isinstance(model, keras.Sequential):
        return model
    return keras.Model(model.inputs, model.outputs, name=model.name)
