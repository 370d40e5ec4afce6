"""How the inputs of a layer vary together, which says which errors of its weight can be seen in its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.layer import DenseLayer

_L = TypeVar("_L")

MOST_BYTES = 512 * 2**20
"""Of the covariances that are measured in one run through the examples."""
ROWS_PER_FEATURE = 4
"""Rows of a layer's inputs that are measured; neighbouring patches are so alike that more say little more."""
_FLOOR = 1e-6
"""Directions whose variance is below this share of the largest count as having it, so that they can be divided by."""
_DAMPING = 1e-9


@dataclass(frozen=True)
class Spread:
    """The covariance of a layer's features and their means.

    An error E of the weight costs ‖E Σ^½‖², the energy of what it changes in the outputs. With Σ = I this is the plain
    error of the weight itself.
    """

    covariance: Matrix
    """[features, features]."""
    mean: Matrix | None = None
    """[features]; `None` if nothing is known about the inputs."""

    @classmethod
    def unknown(cls, features: int) -> Spread:
        """That of inputs that nothing is known about: all features vary alike, and independently."""
        return cls(np.eye(features))

    def damped(self, ridge: float) -> Spread:
        """With a share of the mean variance added to each feature, so that directions never seen count a little."""
        size = len(self.covariance)
        extra = ridge * float(np.trace(self.covariance)) / size + np.finfo(np.float64).tiny
        return Spread(self.covariance + extra * np.eye(size), self.mean)

    def energy(self, weight: Matrix) -> float:
        """‖W Σ^½‖² of a weight [outputs, features]."""
        return float(np.sum((weight @ self.covariance) * weight))

    def lost(self, weight: Matrix, product: Matrix) -> float:
        """The share of the outputs' energy that is lost with `product` in place of `weight`; 0 to 1."""
        whole = self.energy(weight)
        return min(1.0, max(0.0, self.energy(weight - product) / whole)) if whole > 0 else 0.0

    def shift(self, weight: Matrix, product: Matrix) -> Matrix:
        """[outputs]: what a bias must add so that the outputs keep their means."""
        return np.zeros(len(weight)) if self.mean is None else (weight - product) @ self.mean

    def seen_through(self, weight: Matrix, before: Matrix) -> Inner:
        """What a last factor behind the factors `before` [features between, features] can be fitted to."""
        half = before @ self.covariance
        return Inner(half @ before.T, half @ weight.T, self.energy(weight))


@dataclass(frozen=True)
class Inner:
    """The numbers that a last factor reads: how they vary together, and with the layer's outputs."""

    covariance: Matrix
    """[features between, features between]."""
    cross: Matrix
    """[features between, outputs]."""
    energy: float
    """Of the layer's outputs."""

    def first(self, count: int) -> Inner:
        """Of the first so many numbers alone."""
        return Inner(self.covariance[:count, :count], self.cross[:count], self.energy)

    def best_last(self) -> Matrix:
        """The last factor [outputs, features between] that loses least, by least squares."""
        size = len(self.covariance)
        extra = _DAMPING * np.trace(self.covariance) / size + np.finfo(np.float64).tiny
        damped = self.covariance + extra * np.eye(size)
        return np.asarray(np.linalg.solve(damped, self.cross).T, np.float64)

    def lost(self, last: Matrix) -> float:
        """The share of the outputs' energy that is lost with this last factor."""
        left = self.energy - 2 * float(np.sum(last.T * self.cross)) + float(np.sum((last @ self.covariance) * last))
        return min(1.0, max(0.0, left / self.energy)) if self.energy > 0 else 0.0


def in_memory(layers: Sequence[_L], dense: Callable[[_L], DenseLayer]) -> Iterator[list[_L]]:
    """Consecutive layers whose covariances fit into memory together."""
    group: list[_L] = []
    size = 0
    for layer in layers:
        own = 8 * dense(layer).matrix.shape[1] ** 2
        if group and size + own > MOST_BYTES:
            yield group
            group, size = [], 0
        group.append(layer)
        size += own
    if group:
        yield group


def roots(covariance: Matrix) -> tuple[Matrix, Matrix]:
    """Σ^½ and its inverse."""
    values, vectors = np.linalg.eigh(covariance)
    floored = np.maximum(values, max(_FLOOR * float(values[-1]), np.finfo(np.float64).tiny))
    root = np.sqrt(floored)
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
