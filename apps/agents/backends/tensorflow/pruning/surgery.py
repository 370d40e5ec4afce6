"""Builds the smaller model from configurations with fewer channels and slices of variables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from apps.agents.backends.tensorflow.pruning.tracing import Trace
from apps.agents.techniques.channel_pruning.channels import Kept


def cut(trace: Trace, kept: Kept, biased: Collection[str] = ()) -> Any:
    """A new model with only the `kept` channels. Layers named in `biased` get a bias of zeros if they have none."""
    made: dict[int, Any] = {}

    def rebuilt(layer: Any) -> Any:
        """The new layer. If a layer is used more than once, the same for every call."""
        if id(layer) not in made:
            made[id(layer)] = type(layer).from_config(_config(trace, layer, kept, biased))
        return made[id(layer)]

    model = keras.models.clone_model(trace.model, clone_function=rebuilt)
    for layer in trace.model.layers:
        if layer.weights:
            _store(model.get_layer(layer.name), layer, sliced(trace, layer, kept))
    return model


def sliced(trace: Trace, layer: Any, kept: Kept) -> dict[str, NDArray[np.generic]]:
    """A layer's variables that have channels, with only the `kept` ones, by name."""
    arrays = {one.name: one.numpy() for one in layer.weights}
    found: dict[str, NDArray[np.generic]] = {}
    for one in trace.cuts.get(layer.name, ()):
        array = found.get(one.weight, arrays[one.weight])
        found[one.weight] = np.take(array, np.flatnonzero(kept[one.ids]), axis=one.axis)
    return found


def _config(trace: Trace, layer: Any, kept: Kept, biased: Collection[str]) -> dict[str, Any]:
    config: dict[str, Any] = layer.get_config()
    if (count := trace.counts.get(layer.name)) is not None:
        left = int(kept[count.ids].sum())
        config[count.key] = [*config[count.key][:-1], left] if count.last_of_list else left
    if layer.name in biased:
        config["use_bias"] = True
    return config


def _store(made: Any, layer: Any, changed: Mapping[str, NDArray[np.generic]]) -> None:
    if not changed and len(made.weights) == len(layer.weights):
        made.set_weights(layer.get_weights())
        return
    arrays = {one.name: one.numpy() for one in layer.weights} | dict(changed)
    for variable in made.weights:
        if variable.name in arrays:
            variable.assign(arrays[variable.name])
