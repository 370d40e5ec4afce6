"""Fits the layers after a cut again, one by one, to what the original computes on calibration examples.

As for ONNX (`apps.agents.backends.onnx.pruning.compensation`), but each layer's target is its own sum: norms keep their
statistics, and the operands of an addition are fitted separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.agents.backends.tensorflow.pruning.flow import Flow
from apps.agents.backends.tensorflow.pruning.rows import Bare, features_of, matrix_of, read_by, rows_of, store_matrix
from apps.agents.backends.tensorflow.pruning.tracing import Layer, Trace, nodes_by_name
from apps.agents.measuring.statistics.least_squares import fit
from apps.agents.measuring.statistics.moments import Moments
from apps.agents.techniques.channel_pruning.channels import Kept
from apps.agents.techniques.channel_pruning.plan import Tell
from apps.agents.techniques.channel_pruning.row_sample import RowSample

MOST_FEATURES = 6144
"""The most terms of one sum. The covariance of more takes gigabytes, so such a layer keeps its old weights."""


@dataclass(frozen=True)
class FittedLayer:
    """How well a layer's sums are restored: the shares of their variance that are lost."""

    name: str
    error_before: float
    error: float


def fitted_layers(trace: Trace, kept: Kept) -> list[Layer]:
    """The layers whose inputs change if only the `kept` channels remain, in the order of the model.

    The filter inside a separable convolution is not fitted, because it has no bias.
    """
    disturbed: list[Layer] = []
    for layer in trace.layers:
        above = frozenset[str]().union(*(trace.before.get(id(one), frozenset()) for one in layer.node.sources))
        is_cut = layer.ids_in is not None and not kept[layer.ids_in].all()
        if is_cut or above & {one.name for one in disturbed}:
            disturbed.append(layer)
    return [one for one in disturbed if not (one.separable and one.depthwise)]


@dataclass(frozen=True)
class Compensation:
    """Fits a pruned `model` to the one it was cut from. The `layers` to fit must have a bias."""

    trace: Trace
    kept: Kept
    model: Any
    flow: Flow
    ridge: float
    layers: Sequence[Layer]
    seed: int = 0

    def run(self, tell: Tell) -> list[FittedLayer]:
        """Fit the layers in place."""
        own, found = nodes_by_name(self.model), []
        for number, layer in enumerate(self.layers):
            tell(number / len(self.layers), f"fitting {layer.name}")
            node = own[layer.node.name]
            if features_of(layer, node.layer) > MOST_FEATURES:
                continue
            moments = self._moments(layer, node.sources[0], node.layer)
            result = fit(moments, matrix_of(layer, node.layer), self.ridge)
            store_matrix(layer, node.layer, result.weight, result.bias)
            found.append(FittedLayer(layer.name, result.error_before, result.error))
        return found

    def _moments(self, layer: Layer, source: Any, keras_layer: Any) -> Moments:
        """The moments of the layer's current inputs, and of the original's sums at the remaining channels."""
        moments, bare = Moments(), Bare(layer.node.layer)
        sample = RowSample(features_of(layer, keras_layer), self.flow.examples, self.seed)
        stays = np.flatnonzero(self.kept[layer.ids_out])
        pairs = self.flow.through((self.trace.model, [layer.node.sources[0]]), (self.model, [source]))
        for (before,), (now,) in pairs:
            read = read_by(layer, now, keras_layer)
            wanted = bare(before)[..., stays]
            moments.add(*rows_of(layer, read, wanted, keras_layer, sample.of(len(read))))
        return moments
