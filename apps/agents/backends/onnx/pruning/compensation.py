"""Fits the layers after a cut again, one by one, to what the original computes on calibration examples.

The method is layer-wise least squares as in Luo et al. 2017 (ThiNet, https://arxiv.org/abs/1707.06342) and He et al.
2017 (https://arxiv.org/abs/1707.06168), with inputs from the network as pruned and fitted so far, and whole patches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from apps.agents.backends.onnx.flow import Flow
from apps.agents.backends.onnx.nodes import WEIGHTED
from apps.agents.backends.onnx.patches import rows_of
from apps.agents.backends.onnx.pruning.fitting_order import Aim, Order
from apps.agents.backends.onnx.pruning.tracing import Layer, Trace
from apps.agents.backends.onnx.pruning.weights import Weights
from apps.agents.measuring.statistics.least_squares import fit
from apps.agents.measuring.statistics.moments import Moments
from apps.agents.techniques.channel_pruning.channels import Kept
from apps.agents.techniques.channel_pruning.row_sample import RowSample

Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class FittedLayer:
    """How well a layer's outputs are restored: the shares of their variance that are lost."""

    name: str
    error_before: float
    error: float


@dataclass(frozen=True)
class Compensation:
    """Fits a pruned graph, `proto`, to the one it was cut from."""

    trace: Trace
    kept: Kept
    proto: ModelProto
    flow: Flow
    ridge: float
    seed: int = 0

    def run(self, tell: Tell) -> list[FittedLayer]:
        """Fit every layer whose input changed, in place."""
        order, weights = Order(self.trace, self.kept), Weights(self.proto)
        layers = [layer for layer in order.layers if layer.node.op_type in WEIGHTED]
        found = []
        for number, layer in enumerate(layers):
            tell(number / len(layers), f"fitting {layer.name}")
            moments = self._moments(layer, order.aim(layer), weights)
            result = fit(moments, weights.read(layer), self.ridge)
            weights.write(layer, result.weight, result.bias)
            order.fitted.add(layer.name)
            found.append(FittedLayer(layer.name, result.error_before, result.error))
        return found

    def _moments(self, layer: Layer, aim: Aim, weights: Weights) -> Moments:
        """The moments of the layer's current inputs and of its targets."""
        moments, kernel, groups = Moments(), weights.kernel(layer), weights.groups(layer)
        features = weights.read(layer).shape[-1]
        take = RowSample(features, self.flow.examples, self.seed)
        stays = np.flatnonzero(self.kept[layer.ids_out])
        read = [layer.source, *([aim.given] if aim.given else [])]
        place = -1 if not kernel else 1
        for (wanted,), (source, *given) in self.flow.through((self.trace.proto, [aim.wanted]), (self.proto, read)):
            target = np.take(wanted, stays, axis=place)
            target = target - given[0] if given else target
            moments.add(*rows_of(layer.node, source, target, kernel, groups, take.of(len(source))))
        return moments
