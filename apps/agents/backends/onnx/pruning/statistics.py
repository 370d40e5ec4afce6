"""What is known of a group's channels before anything is cut: how they vary together where layers read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.backends.onnx.pruning.channels import Ids
from apps.agents.backends.onnx.pruning.flow import Flow
from apps.agents.backends.onnx.pruning.groups import Group, readers_of
from apps.agents.backends.onnx.pruning.tracing import Layer, Trace
from apps.agents.measuring.statistics.moments import Matrix, Moments

SHRINKING = 1000
"""Covariances are drawn to their diagonals by `channels / (channels + SHRINKING × rows)`."""
ROWS_PER_BATCH = 2048
"""Places of one batch at which channels are looked at."""


@dataclass(frozen=True)
class Reading:
    """What one layer reads of a group: the covariance of its classes there, and how much it makes of each."""

    covariance: Matrix
    """[classes, classes]."""
    energy: Matrix
    """Of each class, the sum of the squares of the weights that it is multiplied with."""


def readings(trace: Trace, groups: Sequence[Group], flow: Flow, seed: int = 0) -> dict[str, list[Reading]]:
    """What the original's layers read of each group, by its name, from one run through the examples."""
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
    where = _positions(trace.channels.roots(layer.ids_in), group.roots)
    weight = np.moveaxis(trace.stored[layer.weight].astype(np.float64), layer.input_axis, 0)
    energy = np.square(weight).reshape(len(weight), -1).sum(1)
    gram = moments.gram[0]
    count = len(group.roots)
    covariance, energies = np.zeros((count, count)), np.zeros(count)
    for line in where:  # Each class once: of a flattened picture, one place of it after the other.
        seen = line >= 0
        picked = np.ix_(line[seen], line[seen])
        covariance[np.ix_(seen, seen)] += gram[picked]
        energies[seen] += energy[line[seen]]
    return Reading(_shrunk(covariance / len(where), moments.rows * len(where)), energies)


def _shrunk(covariance: Matrix, rows: int) -> Matrix:
    """Drawn towards its diagonal where few rows make many channels seem to depend on each other."""
    count = len(covariance)
    share = count / (count + SHRINKING * rows)
    return np.asarray((1 - share) * covariance + share * np.diag(np.diag(covariance)), np.float64)


def _positions(roots: Ids, classes: Ids) -> NDArray[np.int64]:
    """[times, classes]: at which places of an axis each class stands for the first, second, … time; −1 where not."""
    places = [np.flatnonzero(roots == one) for one in classes.tolist()]
    times = max(1, *(len(one) for one in places))
    table = np.full((times, len(classes)), -1, np.int64)
    for column, found in enumerate(places):
        table[: len(found), column] = found
    return table
