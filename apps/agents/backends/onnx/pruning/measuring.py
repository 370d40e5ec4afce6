"""Measures on calibration examples what the layers of a graph read, and what its output loses.

To learn what the output loses without channels, nothing is cut: their prediction from the other channels is merged into
the weights of the layers that read them, as in GRAIL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from apps.agents.backends.onnx.flow import Flow
from apps.agents.backends.onnx.nodes import store
from apps.agents.backends.onnx.pruning.tracing import Layer, Trace
from apps.agents.evaluation.fidelity import energies
from apps.agents.measuring.statistics.moments import Matrix, Moments
from apps.agents.techniques.channel_pruning.groups import Group, readers_of
from apps.agents.techniques.channel_pruning.prediction import merged, prediction_map
from apps.agents.techniques.channel_pruning.readings import Reading, making_energy, reading_of
from apps.agents.techniques.channel_pruning.selection import Ranking

ROWS_PER_BATCH = 2048
"""Rows of one batch from which covariances are computed."""
NOISE_EXAMPLES = 128


class OnnxMeasurer:
    """Measures one traced graph, which is not changed."""

    def __init__(self, trace: Trace, flow: Flow, seed: int = 0) -> None:
        self._trace, self._flow, self._seed = trace, flow, seed
        self._few = flow.fewer(NOISE_EXAMPLES)

    def readings(self, groups: Sequence[Group]) -> Mapping[str, Sequence[Reading]]:
        """What the graph's layers read of each group, by the group's name, from one run through the examples."""
        read = {group.name: readers_of(self._trace, group) for group in groups}
        moments = self._moments(sorted({layer.source for layers in read.values() for layer in layers}))
        return {
            group.name: [self._reading(group, layer, moments[layer.source]) for layer in read[group.name]]
            for group in groups
        }

    def made(self, group: Group) -> Sequence[Matrix]:
        return [
            making_energy(
                np.moveaxis(self._trace.stored[layer.weight], layer.output_axis, 0),
                self._trace.channels.roots(layer.ids_out),
                group.roots,
            )
            for layer in self._trace.layers
            if layer.name in group.makers and not layer.depthwise
        ]

    def noise(self, group: Group, read: Sequence[Reading], ranking: Ranking, kept: int) -> float:
        """The highest noise-to-signal ratio over the outputs, if readers predict the group from the kept channels."""
        changed = self._merged(group, read, np.sort(ranking.order[:kept]))
        names = [output.name for output in self._trace.proto.graph.output]
        sums = np.zeros((len(names), 2))
        for exact, noisy in self._few.through((self._trace.proto, names), (changed, names)):
            sums += [energies(a, b) for a, b in zip(exact, noisy, strict=True)]
        return float(max(noise / max(signal, 1e-30) for signal, noise in sums))

    # --- readings -----------------------------------------------------------------------------------------------------

    def _moments(self, sources: Sequence[str]) -> dict[str, Moments]:
        moments = {name: Moments() for name in sources}
        random = np.random.default_rng(self._seed)
        for (arrays,) in self._flow.through((self._trace.proto, sources)):
            for name, array in zip(sources, arrays, strict=True):
                rows = self._rows(name, array)
                chosen = rows[random.choice(len(rows), min(len(rows), ROWS_PER_BATCH), replace=False)]
                moments[name].add(chosen[None], chosen[None, :, :1])
        return moments

    def _rows(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """[rows, positions on the axis of channels]."""
        moved = np.moveaxis(np.asarray(array, np.float32), self._trace.axes[name].place, -1)
        return moved.reshape(-1, moved.shape[-1])

    def _reading(self, group: Group, layer: Layer, moments: Moments) -> Reading:
        assert layer.ids_in is not None, "a reader's channels are known"
        weight = np.moveaxis(self._trace.stored[layer.weight], layer.input_axis, 0)
        return reading_of(moments, weight, self._trace.channels.roots(layer.ids_in), group.roots)

    # --- noise --------------------------------------------------------------------------------------------------------

    def _merged(self, group: Group, read: Sequence[Reading], kept: NDArray[np.int64]) -> ModelProto:
        """A copy of the graph whose layers read only the `kept` classes of the group."""
        proto = ModelProto()
        proto.CopyFrom(self._trace.proto)
        stored = {tensor.name: tensor for tensor in proto.graph.initializer}
        for layer, reading in zip(readers_of(self._trace, group), read, strict=True):
            store(stored[layer.weight], self._weight(group, layer, prediction_map(reading.covariance, kept)))
        return proto

    def _weight(self, group: Group, layer: Layer, predicted: Matrix) -> Matrix:
        assert layer.ids_in is not None, "a reader's channels are known"
        weight = np.moveaxis(self._trace.stored[layer.weight], layer.input_axis, 0)
        moved = merged(weight, self._trace.channels.roots(layer.ids_in), group.roots, predicted)
        return np.moveaxis(moved, 0, layer.input_axis)
