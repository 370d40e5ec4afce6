"""How a group's channels vary together where layers read them, before anything is cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.agents.backends.onnx.pruning.flow import Flow
from apps.agents.backends.onnx.pruning.tracing import Layer, Trace
from apps.agents.measuring.statistics.moments import Matrix, Moments
from apps.agents.techniques.channel_pruning.groups import Group, readers_of
from apps.agents.techniques.channel_pruning.readings import Reading, making_energy, reading_of

ROWS_PER_BATCH = 2048
"""Rows of one batch from which covariances are computed."""


def readings(trace: Trace, groups: Sequence[Group], flow: Flow, seed: int = 0) -> dict[str, list[Reading]]:
    """What the original's layers read of each group, by the group's name, from one run through the examples."""
    read = {group.name: readers_of(trace, group) for group in groups}
    sources = sorted({layer.source for layers in read.values() for layer in layers})
    moments = {name: Moments() for name in sources}
    random = np.random.default_rng(seed)
    for (arrays,) in flow.through((trace.proto, sources)):
        for name, array in zip(sources, arrays, strict=True):
            rows = _rows(trace, name, array)
            chosen = rows[random.choice(len(rows), min(len(rows), ROWS_PER_BATCH), replace=False)]
            moments[name].add(chosen[None], chosen[None, :, :1])
    return {
        group.name: [_reading(trace, group, layer, moments[layer.source]) for layer in read[group.name]]
        for group in groups
    }


def _rows(trace: Trace, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
    """[rows, positions on the axis of channels]."""
    moved = np.moveaxis(np.asarray(array, np.float32), trace.axes[name].place, -1)
    return moved.reshape(-1, moved.shape[-1])


def _reading(trace: Trace, group: Group, layer: Layer, moments: Moments) -> Reading:
    assert layer.ids_in is not None, "a reader's channels are known"
    weight = np.moveaxis(trace.stored[layer.weight], layer.input_axis, 0)
    return reading_of(moments, weight, trace.channels.roots(layer.ids_in), group.roots)


def making_energies(trace: Trace, group: Group) -> list[Matrix]:
    """For each layer that makes the group, the sums of the squares of its weights by class."""
    return [
        making_energy(
            np.moveaxis(trace.stored[layer.weight], layer.output_axis, 0),
            trace.channels.roots(layer.ids_out),
            group.roots,
        )
        for layer in trace.layers
        if layer.name in group.makers and not layer.depthwise
    ]
