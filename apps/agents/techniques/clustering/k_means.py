"""K-means on a line, and what is known about a tensor afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
MOST_ROUNDS = 50
_SETTLED = 1e-7


@dataclass(frozen=True)
class Codebook:
    """The values that the weights of one tensor share."""

    name: str
    weights: int
    values: int
    """Distinct values."""
    bits_per_weight: float
    """The entropy of the values: what an ideal code that looks at single weights needs."""


def clustered(weights: Floats, clusters: int) -> Floats:
    """`weights` with each number replaced by its cluster's mean, in the same shape and number type.

    Lloyd's algorithm on a line, from centroids spread evenly over the range, which preserves large weights (Han et al.
    2016, section 3.2). A start as dense as the weights ends with less noise, but costs the sample ResNet 1.9 points
    instead of 0.6 with 16 clusters, and its download is larger. If half of the weights or more are zero, zero is
    one of the values, so that a pruned tensor stays sparse. The same weights give the same result.
    """
    values = np.sort(weights.astype(np.float64).ravel())
    distinct = int(np.count_nonzero(np.diff(values))) + 1
    if distinct <= clusters:
        return weights.copy()
    zeros = values == 0
    if 2 * np.count_nonzero(zeros) < len(values):
        return _nearest(_settled(values, clusters), weights)
    kept = np.concatenate([_settled(values[~zeros], clusters - 1), [0.0]])
    return np.where(weights == 0, weights, _nearest(np.sort(kept), weights)).astype(weights.dtype)


def codebook_of(name: str, weights: Floats) -> Codebook:
    """What is known about a tensor, clustered or not."""
    _, counts = np.unique(weights, return_counts=True)
    shares = counts / counts.sum()
    bits = float(-np.sum(shares * np.log2(shares)))
    return Codebook(name, int(weights.size), len(counts), round(abs(bits), 3))


def _settled(values: NDArray[np.float64], clusters: int) -> NDArray[np.float64]:
    """The centroids of sorted values, in ascending order."""
    centroids = np.linspace(values[0], values[-1], clusters)
    totals = np.concatenate([[0.0], np.cumsum(values)])
    for _ in range(MOST_ROUNDS):
        borders = np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], borders, [len(values)]])
        counts = np.diff(edges)
        means = np.where(counts > 0, np.diff(totals[edges]) / np.maximum(counts, 1), centroids)
        moved = float(np.abs(means - centroids).max())
        centroids = means
        if moved <= _SETTLED:
            break
    return np.asarray(centroids, np.float64)


def _nearest(centroids: NDArray[np.float64], weights: Floats) -> Floats:
    places = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights.astype(np.float64))
    return np.asarray(centroids[places]).astype(weights.dtype)
