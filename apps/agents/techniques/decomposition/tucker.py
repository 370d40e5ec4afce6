"""Tucker-2: 1×1 into fewer channels, the kernel between fewer channels, then 1×1 (Kim et al. 2016,
https://arxiv.org/abs/1511.06530), by a higher-order SVD weighted by the covariance of the inputs."""

from __future__ import annotations

import numpy as np

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.factors import Factors, Maker, Stage, balanced, wide
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spread import Inner, Spread, roots

TUCKER = "tucker"


def covariance_of_channels(covariance: Matrix, layer: DenseLayer) -> Matrix:
    """[inputs, inputs], the mean over the places of a patch."""
    places = covariance.reshape(layer.inputs, -1, layer.inputs, int(np.prod(layer.kernel)))
    return np.asarray(np.einsum("akbk->ab", places) / places.shape[1], np.float64)


def tucker_maker(layer: DenseLayer, spread: Spread, multiple_of: int) -> Maker:
    """Factors in which the kernel makes `rank` channels, from a number of channels in the layer's own proportion."""
    root, inverse = roots(covariance_of_channels(spread.covariance, layer))
    unfolded = layer.weight.reshape(layer.outputs, layer.inputs, -1).transpose(1, 0, 2).reshape(layer.inputs, -1)
    whole = (inverse @ np.linalg.svd(root @ unfolded, full_matrices=False)[0]).T
    places = int(np.prod(layer.kernel))
    seen = _seen(layer, spread, whole)

    def make(rank: int) -> Factors:
        narrow = narrowed(layer, rank, multiple_of)
        basis, inner = whole[:narrow], seen.first(narrow * places)
        core = inner.best_last()
        values, turned = np.linalg.eigh(core @ inner.covariance @ core.T)
        top = np.argsort(values)[::-1][:rank]
        out = turned[:, top]
        kernel = out.T @ core
        first = Stage(wide(basis, layer.kernel))
        middle = Stage(kernel.reshape(rank, narrow, *layer.kernel), layer.axes)
        last = Stage(wide(out, layer.kernel))
        spreads = np.maximum(np.diag(inner.covariance), 0.0).reshape(narrow, -1).mean(1)
        first, middle = balanced(first, middle, np.sqrt(spreads))
        middle, last = balanced(middle, last, np.sqrt(np.maximum(values[top], 0.0)))
        last_two = out @ kernel
        both = np.einsum("mrk,rc->mck", last_two.reshape(-1, narrow, places), basis).reshape(layer.outputs, -1)
        return Factors(TUCKER, rank, (first, middle, last), both, inner.lost(last_two))

    return make


def _seen(layer: DenseLayer, spread: Spread, basis: Matrix) -> Inner:
    """What the kernel reads behind a 1×1 factor [rank, inputs]: [rank × places] numbers."""
    rank, places = len(basis), int(np.prod(layer.kernel))
    covariance = spread.covariance.reshape(layer.inputs, -1)
    half = (basis @ covariance).reshape(rank * places, layer.inputs, places)
    whole = np.tensordot(half, basis, ([1], [1])).transpose(0, 2, 1).reshape(rank * places, rank * places)
    cross = half.reshape(rank * places, -1) @ layer.matrix.T
    return Inner(whole, cross, spread.energy(layer.matrix))


def narrowed(layer: DenseLayer, rank: int, multiple_of: int) -> int:
    """The channels that the kernel reads beside `rank` that it makes, a multiple if the layer has so many."""
    wanted = rank * layer.inputs / layer.outputs
    return min(layer.inputs, max(1, multiple_of * round(wanted / multiple_of)) if wanted >= multiple_of / 2 else 1)
