"""What is known of a group's channels before anything is cut: how they vary together where layers read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.measuring.statistics.moments import Matrix, Moments
from apps.agents.techniques.channel_pruning.channels import Ids

SHRINKING = 1000
"""Covariances are drawn to their diagonals by `channels / (channels + SHRINKING × rows)`."""


@dataclass(frozen=True)
class Reading:
    """What one layer reads of a group: the covariance of its classes there, and how much it makes of each."""

    covariance: Matrix
    """[classes, classes]."""
    energy: Matrix
    """Of each class, the sum of the squares of the weights that it is multiplied with."""


def reading_of(moments: Moments, weight: NDArray[np.generic], roots: Ids, classes: Ids) -> Reading:
    """Of a layer whose inputs have these `moments` and belong to `roots`; `weight` has its inputs on the first axis."""
    energy = np.square(weight.astype(np.float64)).reshape(len(weight), -1).sum(1)
    gram, count = moments.gram[0], len(classes)
    where = positions(roots, classes)
    covariance, energies = np.zeros((count, count)), np.zeros(count)
    for line in where:  # Each class once: of a flattened picture, one place of it after the other.
        seen = line >= 0
        picked = np.ix_(line[seen], line[seen])
        covariance[np.ix_(seen, seen)] += gram[picked]
        energies[seen] += energy[line[seen]]
    return Reading(_shrunk(covariance / len(where), moments.rows * len(where)), energies)


def making_energy(weight: NDArray[np.generic], roots: Ids, classes: Ids) -> Matrix:
    """Of each class, the sum of the squares of the weights that make it; `weight` has outputs on the first axis."""
    made = np.square(weight.astype(np.float64)).reshape(len(weight), -1).sum(1)
    return np.array([made[roots == root].sum() for root in classes])


def _shrunk(covariance: Matrix, rows: int) -> Matrix:
    """Drawn towards its diagonal where few rows make many channels seem to depend on each other."""
    count = len(covariance)
    share = count / (count + SHRINKING * rows)
    return np.asarray((1 - share) * covariance + share * np.diag(np.diag(covariance)), np.float64)


def positions(roots: Ids, classes: Ids) -> NDArray[np.int64]:
    """[times, classes]: at which places of an axis each class stands for the first, second, … time; −1 where not."""
    places = [np.flatnonzero(roots == one) for one in classes.tolist()]
    times = max(1, *(len(one) for one in places))
    table = np.full((times, len(classes)), -1, np.int64)
    for column, found in enumerate(places):
        table[: len(found), column] = found
    return table
