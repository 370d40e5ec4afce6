"""Spatial SVD: k×1 into few channels, then 1×k, or the other way round (Jaderberg et al. 2014,
https://arxiv.org/abs/1405.3866).

The first factor comes from the singular values of the weight times the root of the covariance of the inputs' lines; the
second is fitted by least squares to the covariance of whole patches, so what ‖(W − W̃)Σ^½‖ measures is minimized over it
(activation-weighted decomposition, https://arxiv.org/abs/2511.04494).
"""

from __future__ import annotations

import numpy as np

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.factors import Factors, Maker, Stage, balanced
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spread import Inner, Spread, roots

SPATIAL = ("spatial", "spatial-transposed")
"""First along the rows' axis (k×1), or first along the columns' (1×k)."""


def fits_spatial(layer: DenseLayer) -> bool:
    """Whether it has a kernel longer than 1 along two axes."""
    return len(layer.kernel) == 2 and min(layer.kernel) > 1


def most_spatial(layer: DenseLayer, first: int) -> int:
    """The rank of the exact factors, with the axis `first` first."""
    return min(layer.inputs * layer.kernel[first], layer.outputs * layer.kernel[1 - first])


def spatial_maker(layer: DenseLayer, spread: Spread, first: int) -> Maker:
    """Factors that work along the kernel's axis `first`, then along the other."""
    kernel, across = layer.kernel, layer.kernel[1 - first]
    lines = np.moveaxis(layer.weight, 2 + first, 2)  # [outputs, inputs, along, across]
    root, inverse = roots(_covariance_of_lines(spread.covariance, layer, first))
    flat = lines.transpose(1, 2, 0, 3).reshape(layer.inputs * kernel[first], -1)
    whole = (inverse @ np.linalg.svd(root @ flat, full_matrices=False)[0]).T
    whole = whole.reshape(-1, layer.inputs, kernel[first])[: paying_spatial(layer, first)]
    seen = _seen(layer, spread, whole, first)
    shapes = [[length if axis == own else 1 for axis, length in enumerate(kernel)] for own in (first, 1 - first)]

    def make(rank: int) -> Factors:
        inner, basis = seen.first(rank * across), whole[:rank]
        last = inner.best_last()
        deviations = np.sqrt(np.maximum(np.diag(inner.covariance), 0.0).reshape(rank, -1).mean(1))
        stages = balanced(
            Stage(basis.reshape(rank, layer.inputs, *shapes[0]), (first,)),
            Stage(last.reshape(layer.outputs, rank, *shapes[1]), (1 - first,)),
            deviations,
        )
        both = np.einsum("mrj,rci->mcij" if first == 0 else "mrj,rci->mcji", last.reshape(-1, rank, across), basis)
        return Factors(SPATIAL[first], rank, stages, both.reshape(layer.outputs, -1), inner.lost(last))

    return make


def paying_spatial(layer: DenseLayer, first: int) -> int:
    """The highest rank at which the factors do not store more than the layer, at most that of the exact factors."""
    stored = layer.inputs * layer.kernel[first] + layer.outputs * layer.kernel[1 - first]
    return max(1, min(most_spatial(layer, first), int(layer.weight.size) // stored + 1))


def _seen(layer: DenseLayer, spread: Spread, basis: Matrix, first: int) -> Inner:
    """What the second factor reads, [rank × across] numbers, computed line by line: the first factor skips most of a
    patch."""
    inputs, (height, width) = layer.inputs, layer.kernel
    covariance = spread.covariance.reshape(inputs, height, width, -1)
    half = np.tensordot(basis, covariance, ([1, 2], [0, 1 + first]))  # [rank, across, features]
    half = half.reshape(-1, inputs, height, width)
    whole = np.tensordot(half, basis, ([1, 2 + first], [1, 2])).transpose(0, 2, 1)  # [rank × across, rank, across]
    size = len(half)
    cross = half.reshape(size, -1) @ layer.matrix.T
    return Inner(whole.reshape(size, size), cross, spread.energy(layer.matrix))


def _covariance_of_lines(covariance: Matrix, layer: DenseLayer, first: int) -> Matrix:
    """[inputs × along, inputs × along], the mean over the lines of a patch."""
    inputs, (height, width) = layer.inputs, layer.kernel
    lines = covariance.reshape(inputs, height, width, inputs, height, width)
    kept = "aibcjb->aicj" if first == 0 else "abicbj->aicj"
    size = inputs * layer.kernel[first]
    return np.asarray(np.einsum(kept, lines).reshape(size, size) / layer.kernel[1 - first], np.float64)
