"""Filter pruning for Keras 3: removes whole channels, from the layers that create them and from all that read them.

Channels with the smallest norms are removed first (Li et al. 2017, https://arxiv.org/abs/1608.08710); channels that are
added are removed together. The result is a smaller dense network, which is then trained again.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from apps.agents.backends.tensorflow import cost
from apps.agents.backends.tensorflow.channels import (
    MAKERS,
    Wiring,
    importance,
    sliced_weights,
    spread,
    thinner_config,
    wiring_of,
)
from apps.agents.backends.tensorflow.keras_technique import KerasTechnique
from apps.agents.backends.tensorflow.loading import keras_model
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNoEffect, TechniqueNotApplicable
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Applied, Assignment

Kept = dict[int, Any]
"""Remaining channels, as sorted index arrays, by the id of their space."""


class FilterPruning(KerasTechnique):
    """Removes a share of every layer's channels, except those of outputs and of layers that are not understood."""

    _macs: tuple[int, int]

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        original = self.keras(assignment)
        wiring = wiring_of(original)
        kept = _kept(wiring, float(assignment.parameters["share"]))
        if not kept:
            reason = "none of its layers has channels whose readers can all be found"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        model = thinned(original, wiring, kept)
        self._macs = (_macs(original), _macs(model))
        self.learn(model, original, assignment, context)
        return self.finished(model, assignment, {"macs": {"before": self._macs[0], "after": self._macs[1]}})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Check that there are fewer parameters, and report the multiply-accumulates."""
        if after.parameters >= before.parameters:
            reason = f"it has {after.parameters:,} parameters, but had {before.parameters:,}"
            raise TechniqueNoEffect(technique=assignment.spec.label, reason=reason)
        return (
            f"It has {after.parameters:,} parameters instead of {before.parameters:,} and computes {self._macs[1]:,} "
            f"multiply-accumulates per example instead of {self._macs[0]:,}; it was {self.learned}."
        )


def _kept(wiring: Wiring, share: float) -> Kept:
    """The most important channels of each space, at least one."""
    found: Kept = {}
    for space in wiring.spaces():
        left = max(1, space.size - int(space.size * share))
        if left < space.size:
            found[id(space)] = np.sort(np.argsort(-importance(space), kind="stable")[:left])
    return found


def thinned(model: Any, wiring: Wiring, kept: Kept) -> Any:
    """A new model with only the channels `kept`, and their weights."""

    def rebuilt(layer: Any) -> Any:
        place = wiring.gives.get(layer.name)
        if type(layer).__name__ in MAKERS and place is not None and id(place.space.root) in kept:
            return type(layer).from_config(thinner_config(layer, len(kept[id(place.space.root)])))
        return type(layer).from_config(layer.get_config())

    thin = keras.models.clone_model(model, clone_function=rebuilt)
    for old in model.layers:
        if old.weights:
            thin.get_layer(old.name).set_weights(_weights(old, wiring, kept))
    return thin


def _weights(layer: Any, wiring: Wiring, kept: Kept) -> list[Any]:
    takes, gives = wiring.takes.get(layer.name), wiring.gives.get(layer.name)
    if takes is None or gives is None:
        return [weight.numpy() for weight in layer.weights]
    places = [(place, kept.get(id(place.space.root))) for place in (takes, gives)]
    if all(channels is None for _, channels in places):
        return [weight.numpy() for weight in layer.weights]
    taken, given = (
        spread(np.arange(place.space.root.size) if channels is None else channels, place) for place, channels in places
    )
    return sliced_weights(layer, taken, given)


def _macs(model: Any) -> int:
    return sum(layer.macs or 0 for layer in cost.layers(keras_model(model, Format.KERAS, ""), {}))
