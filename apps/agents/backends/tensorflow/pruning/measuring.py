"""Measures on calibration examples what the layers of a Keras model read, and what its output loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from apps.agents.backends.tensorflow.pruning.flow import Array, Flow
from apps.agents.backends.tensorflow.pruning.rows import read_by, weight_of
from apps.agents.backends.tensorflow.pruning.surgery import cut
from apps.agents.backends.tensorflow.pruning.tracing import Layer, Trace
from apps.agents.evaluation.fidelity import energies
from apps.agents.measuring.statistics.moments import Matrix, Moments
from apps.agents.techniques.channel_pruning.groups import Group, everything, readers_of
from apps.agents.techniques.channel_pruning.prediction import merged, prediction_map
from apps.agents.techniques.channel_pruning.readings import Reading, making_energy, reading_of
from apps.agents.techniques.channel_pruning.selection import Ranking

ROWS_PER_BATCH = 2048
"""Rows of one batch from which covariances are computed."""
NOISE_EXAMPLES = 128
_IN, _OUT = -2, -1


class KerasMeasurer:
    """Measures one traced model, which is not changed."""

    def __init__(self, trace: Trace, flow: Flow, seed: int) -> None:
        self._trace, self._flow, self._seed = trace, flow, seed

    def readings(self, groups: Sequence[Group]) -> Mapping[str, Sequence[Reading]]:
        """What the model's layers read of each group, by the group's name, from one run through the examples."""
        read = {group.name: readers_of(self._trace, group) for group in groups}
        layers = list({layer.name: layer for found in read.values() for layer in found}.values())
        moments = self._moments(layers)
        return {
            group.name: [self._reading(group, layer, moments[layer.name]) for layer in read[group.name]]
            for group in groups
        }

    def made(self, group: Group) -> Sequence[Matrix]:
        return [
            making_energy(
                np.moveaxis(weight_of(layer, layer.node.layer).numpy(), _OUT, 0),
                self._trace.channels.roots(layer.ids_out),
                group.roots,
            )
            for layer in self._trace.layers
            if layer.name in group.makers and not layer.depthwise
        ]

    def noise(self, group: Group, read: Sequence[Reading], ranking: Ranking, kept: int) -> float:
        """The highest noise-to-signal ratio over the outputs, if readers predict the group from the kept channels."""
        stay, before = np.sort(ranking.order[:kept]), {}
        for layer, reading in zip(readers_of(self._trace, group), read, strict=True):
            variable = weight_of(layer, self._copy.get_layer(layer.node.name))
            before[layer.name] = (variable, variable.numpy())
            variable.assign(self._merged(layer, group, variable.numpy(), prediction_map(reading.covariance, stay)))
        found = self._noise()
        for variable, values in before.values():
            variable.assign(values)
        return found

    # --- readings -----------------------------------------------------------------------------------------------------

    def _moments(self, layers: Sequence[Layer]) -> dict[str, Moments]:
        moments = {layer.name: Moments() for layer in layers}
        random = np.random.default_rng(self._seed)
        sources = [layer.node.sources[0] for layer in layers]
        for (arrays,) in self._flow.through((self._trace.model, sources)):
            for layer, array in zip(layers, arrays, strict=True):
                seen = read_by(layer, array, layer.node.layer)
                rows = seen.reshape(-1, seen.shape[-1])
                chosen = rows[random.choice(len(rows), min(len(rows), ROWS_PER_BATCH), replace=False)]
                moments[layer.name].add(chosen[None], chosen[None, :, :1])
        return moments

    def _reading(self, group: Group, layer: Layer, moments: Moments) -> Reading:
        assert layer.ids_in is not None, "a reader's channels are known"
        weight = np.moveaxis(weight_of(layer, layer.node.layer).numpy(), _IN, 0)
        return reading_of(moments, weight, self._trace.channels.roots(layer.ids_in), group.roots)

    # --- noise --------------------------------------------------------------------------------------------------------

    @cached_property
    def _copy(self) -> Any:
        """The same model with its own variables."""
        return cut(self._trace, everything(self._trace))

    @cached_property
    def _few(self) -> Flow:
        return self._flow.fewer(NOISE_EXAMPLES)

    @cached_property
    def _exact(self) -> list[list[Array]]:
        return [outputs for (outputs,) in self._few.through((self._trace.model, self._trace.model.outputs))]

    def _noise(self) -> float:
        sums = np.zeros((len(self._trace.model.outputs), 2))
        for exact, (noisy,) in zip(self._exact, self._few.through((self._copy, self._copy.outputs)), strict=True):
            sums += [energies(a, b) for a, b in zip(exact, noisy, strict=True)]
        return float(max(noise / max(signal, 1e-30) for signal, noise in sums))

    def _merged(self, layer: Layer, group: Group, weight: Array, predicted: Matrix) -> Matrix:
        assert layer.ids_in is not None, "a reader's channels are known"
        moved = merged(np.moveaxis(weight, _IN, 0), self._trace.channels.roots(layer.ids_in), group.roots, predicted)
        return np.moveaxis(moved, 0, _IN)
