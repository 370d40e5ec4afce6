"""How a group's channels vary together where layers read them, before anything is cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.measuring.statistics.moments import Matrix, Moments
from apps.agents.techniques.channel_pruning.channels import Ids

SHRINKING = 1000
"""Covariances are shrunk to their diagonals by the share `channels / (channels + SHRINKING × rows)`."""


@dataclass(frozen=True)
class Reading:
    """What one layer reads of a group: the covariance of the classes, and the weight that the layer gives to each."""

    covariance: Matrix
    """[classes, classes]."""
    energy: Matrix
    """For each class, the sum of the squares of the weights that it is multiplied by."""


def reading_of(moments: Moments, weight: NDArray[np.generic], roots: Ids, classes: Ids) -> Reading:
    """The reading of a layer whose inputs have these `moments` and `roots`; `weight` has inputs on the first axis."""
    energy = np.square(weight.astype(np.float64)).reshape(len(weight), -1).sum(1)
    gram, count = moments.gram[0], len(classes)
    where = positions(roots, classes)
    covariance, energies = np.zeros((count, count)), np.zeros(count)
    for line in where:  # Each class once; in a flattened image, one place after the other.
        seen = line >= 0
        picked = np.ix_(line[seen], line[seen])
        covariance[np.ix_(seen, seen)] += gram[picked]
        energies[seen] += energy[line[seen]]
    return Reading(_shrunk(covariance / len(where), moments.rows * len(where)), energies)


def making_energy(weight: NDArray[np.generic], roots: Ids, classes: Ids) -> Matrix:
    """For each class, the sum of the squares of the weights that make it; `weight` has outputs on the first axis."""
    made = np.square(weight.astype(np.float64)).reshape(len(weight), -1).sum(1)
    return np.array([made[roots == root].sum() for root in classes])


def _shrunk(covariance: Matrix, rows: int) -> Matrix:
    """Shrunk towards its diagonal, because with few rows many channels seem to depend on each other."""
    count = len(covariance)
    share = count / (count + SHRINKING * rows)
    return np.asarray((1 - share) * covariance + share * np.diag(np.diag(covariance)), np.float64)


def positions(roots: Ids, classes: Ids) -> NDArray[np.int64]:
    """[times, classes]: the places on an axis where each class occurs for the first, second, … time, or −1."""
    places = [np.flatnonzero(roots == one) for one in classes.tolist()]
    times = max(1, *(len(one) for one in places))
    table = np.full((times, len(classes)), -1, np.int64)
    for column, found in enumerate(places):
        table[: len(found), column] = found
    return table
