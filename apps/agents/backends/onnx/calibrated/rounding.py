"""Rounds the layers of an ONNX file with care, one by one, on calibration examples: what GPTQ and AdaRound share.

Each layer's inputs come from the network as rounded so far, its targets from the original (the asymmetric
reconstruction of AdaRound, section 3.4). The weights that would give these targets exactly are rounded, and the bias is
fitted again. The file stays in float, with weights on the grid: storing them in few bits afterwards changes nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.agents.backends.onnx.calibrated.adaround import adaround
from apps.agents.backends.onnx.calibrated.gptq import gptq
from apps.agents.backends.onnx.calibrated.layers import Graph, WeightedLayer, without_bias
from apps.agents.backends.onnx.calibrated.preparing import CalibratedAgent
from apps.agents.backends.onnx.calibrated.weight_grid import Grid, block_grid, closer, fitted_grid, rounding_grid
from apps.agents.backends.onnx.flow import Flow, flow_of
from apps.agents.backends.onnx.patches import rows_of
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.measuring.statistics.least_squares import fit, missed
from apps.agents.measuring.statistics.moments import Matrix, Moments
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.channel_pruning.row_sample import RowSample

RIDGE = 1e-3
"""How strongly the fitted weights are held at the original's before they are rounded."""
STRENGTH = 0.05
"""Of the regularizer that makes roundings definite."""


@dataclass(frozen=True)
class RoundedLayer:
    """What was found for one layer. Errors are shares of the variance of the original's outputs."""

    name: str
    changed: float
    """The share of the weights that were not rounded to the nearest point of the grid."""
    error_nearest: float
    """With weights rounded to nearest."""
    error: float
    bias_moved: float
    """The largest change of a bias, in standard deviations of that output."""


class CarefulRounding(CalibratedAgent):
    """Chooses the roundings of all weights of one grid. The subclass rounds one layer."""

    _found: list[RoundedLayer]

    @abstractmethod
    def round(self, assignment: Assignment, target: Matrix, moments: Moments, grid: Grid) -> Matrix:
        """`target` [groups, outputs, features] on the grid, given the moments of the layer's inputs."""

    def check(self, assignment: Assignment, context: Context) -> None:
        """Raises `TechniqueNotApplicable` if no layer has weights that it can round."""
        super().check(assignment, context)
        if not self._layers(assignment, self.graph):
            reason = "it has no convolution or matrix product with float weights of its own"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        original = self.graph
        original.give_biases(without_bias(original))
        original = original.copy()
        rounded, flow = original.copy(), flow_of(assignment)
        layers = self._layers(assignment, original)
        self._found = []
        for number, layer in enumerate(layers):
            context.progress(number / len(layers), f"rounding {layer.name}")
            moments = moments_of(layer, original, rounded, flow, assignment.seed)
            self._found.append(self._rounded(assignment, layer, rounded, moments))
        evidence = {
            "layers": [vars(one) for one in self._found],
            "decisions_changed": round(self.decisions_changed, 4),
            "bits": assignment.parameters["bits"],
        }
        return Applied(save_artifact(rounded.proto, assignment.out), evidence)

    @property
    def decisions_changed(self) -> float:
        """The share of the weights, over all layers, that were not rounded to nearest."""
        sizes = [layer.outputs * layer.features for layer in self.graph.layers]
        names = {layer.name: size for layer, size in zip(self.graph.layers, sizes, strict=True)}
        whole = sum(names[one.name] for one in self._found)
        return sum(one.changed * names[one.name] for one in self._found) / max(1, whole)

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        nearest = float(np.mean([one.error_nearest for one in self._found]))
        error = float(np.mean([one.error for one in self._found]))
        return (
            f"The weights of {len(self._found)} layers lie on grids of {assignment.parameters['bits']} bits. "
            f"{self.decisions_changed:.0%} of them are not rounded to the nearest point. Layer by layer, that leaves "
            f"{error:.2%} of the outputs' variance as error; rounding to nearest would leave {nearest:.2%}."
        )

    def _layers(self, assignment: Assignment, graph: Graph) -> Sequence[WeightedLayer]:
        kept = set(assignment.parameters["keep_float_nodes"])
        return [layer for layer in graph.layers if layer.name not in kept]

    def _grid(self, assignment: Assignment, layer: WeightedLayer, target: Matrix, gram: Matrix) -> Grid:
        energy = np.diagonal(gram, axis1=1, axis2=2)
        return fitted_grid(target, int(assignment.parameters["bits"]), energy)

    def _rounded(self, assignment: Assignment, layer: WeightedLayer, graph: Graph, moments: Moments) -> RoundedLayer:
        """Round one layer in place."""
        before, bits = graph.weight(layer), int(assignment.parameters["bits"])
        moments = moments if layer.bias else moments.about_zero()
        target = fit(moments, before, RIDGE).weight
        grid = self._grid(assignment, layer, target, moments.gram)
        made = closer(self.round(assignment, target, moments, grid), grid.nearest(target), target, moments.gram)
        graph.store_weight(layer, made)
        moved = np.zeros(1)
        if layer.bias:
            moved = _move_bias(graph, layer, made, moments)
        changed = float(
            (np.rint(made / grid.steps) != np.clip(np.rint(before / grid.steps), grid.low, grid.high)).mean()
        )
        plain = rounding_grid(before, bits).nearest(before)
        return RoundedLayer(
            layer.name,
            round(changed, 4),
            round(missed(moments, plain), 6),
            round(missed(moments, made), 6),
            round(float(np.abs(moved).max()), 4),
        )


class Gptq(CarefulRounding):
    """Method: Frantar et al. 2022, https://arxiv.org/abs/2210.17323; for convolutions on patches of their inputs."""

    def round(self, assignment: Assignment, target: Matrix, moments: Moments, grid: Grid) -> Matrix:
        return gptq(target, moments.gram, grid)

    def _layers(self, assignment: Assignment, graph: Graph) -> Sequence[WeightedLayer]:
        """With blocks only matrix products, whose weights are stored in blocks."""
        found = super()._layers(assignment, graph)
        if not int(assignment.parameters["block_size"]):
            return found
        return [layer for layer in found if layer.node.op_type != "Conv"]

    def _grid(self, assignment: Assignment, layer: WeightedLayer, target: Matrix, gram: Matrix) -> Grid:
        block = int(assignment.parameters["block_size"])
        if not block:
            return super()._grid(assignment, layer, target, gram)
        return block_grid(target, int(assignment.parameters["bits"]), block)


class AdaRound(CarefulRounding):
    """Method: Nagel et al. 2020, https://arxiv.org/abs/2004.10568."""

    def round(self, assignment: Assignment, target: Matrix, moments: Moments, grid: Grid) -> Matrix:
        steps = int(assignment.parameters["steps"])
        return adaround(target, moments.gram, grid, steps=steps, strength=STRENGTH)


def moments_of(layer: WeightedLayer, original: Graph, rounded: Graph, flow: Flow, seed: int) -> Moments:
    """The moments of a layer's inputs in the `rounded` network, and of its outputs in the `original`."""
    moments, take = Moments(), RowSample(layer.features, flow.examples, seed)
    wanted = (original.proto, [layer.target])
    for (target,), (source,) in flow.through(wanted, (rounded.proto, [layer.source])):
        moments.add(*rows_of(layer.node, source, target, layer.kernel, layer.groups, take.of(len(source))))
    return moments


def _move_bias(graph: Graph, layer: WeightedLayer, made: Matrix, moments: Moments) -> Matrix:
    """Store the bias with which the mean outputs are the original's. Returns how far it moved, in deviations."""
    assert layer.bias
    old = graph.array(layer.bias)
    fitted = (moments.mean_y - (made @ moments.mean_x[..., None])[..., 0]).reshape(-1)
    new = fitted if layer.end == layer.target else old + fitted
    graph.store(layer.bias, new)
    deviation = np.sqrt(np.maximum(moments.variance_y.reshape(-1), 1e-12))
    return np.asarray((new - old) / deviation)
