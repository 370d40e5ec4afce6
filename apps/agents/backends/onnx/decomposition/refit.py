"""Fits the last factor of each layer to the original's outputs, with inputs from the network as decomposed so far.

Layer-wise least squares as for pruning (He et al. 2017, https://arxiv.org/abs/1707.06168): errors of earlier layers are
made up for as far as a later factor can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from apps.agents.backends.onnx.decomposition.layers import OnnxLayer
from apps.agents.backends.onnx.flow import Flow
from apps.agents.backends.onnx.patches import rows_of
from apps.agents.backends.onnx.pruning.tracing import Layer
from apps.agents.backends.onnx.pruning.weights import Weights
from apps.agents.measuring.statistics.least_squares import fit
from apps.agents.measuring.statistics.moments import Moments
from apps.agents.techniques.channel_pruning.row_sample import RowSample
from apps.agents.techniques.decomposition.agent import FittedFactor, Tell


@dataclass(frozen=True)
class Refit:
    """Fits a decomposed graph, `made`, to the one that it was made from."""

    original: ModelProto
    made: ModelProto
    flow: Flow
    ridge: float
    seed: int = 0

    def run(self, layers: Sequence[OnnxLayer], tell: Tell) -> list[FittedFactor]:
        """Fit the last factors of these layers, in place, in the order given."""
        found = []
        for number, layer in enumerate(layers):
            tell(number / len(layers), f"fitting {layer.name}")
            weights = Weights(self.made)
            last = self._last(layer)
            moments = self._moments(layer, last, weights)
            result = fit(moments, weights.read(last), self.ridge)
            weights.write(last, result.weight, result.bias)
            found.append(FittedFactor(layer.name, result.error_before, result.error))
        return found

    def _last(self, layer: OnnxLayer) -> Layer:
        """The last factor, which has the layer's name."""
        node = next(one for one in self.made.graph.node if one.name == layer.name)
        made = np.arange(layer.dense.outputs)
        axes = (1, 0) if layer.dense.kernel else (0, 1)
        return Layer(node, node.input[0], node.output[0], node.input[1], None, None, made, *axes)

    def _moments(self, layer: OnnxLayer, last: Layer, weights: Weights) -> Moments:
        """The moments of the last factor's current inputs and of the original's outputs."""
        moments, kernel = Moments(), weights.kernel(last)
        take = RowSample(weights.read(last).shape[-1], self.flow.examples, self.seed)
        for (wanted,), (source,) in self.flow.through((self.original, [layer.target]), (self.made, [last.source])):
            moments.add(*rows_of(last.node, source, wanted, kernel, 1, take.of(len(source))))
        return moments
