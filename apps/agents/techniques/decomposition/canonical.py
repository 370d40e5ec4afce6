"""CP: 1×1 into `rank` channels, a kernel for each of them alone, then 1×1 (Lebedev et al. 2015,
https://arxiv.org/abs/1412.6553), by alternating least squares on the weight times the root of its inputs' covariance.
"""

from __future__ import annotations

import numpy as np

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.factors import Factors, Maker, Stage, balanced, wide
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spread import Spread, roots
from apps.agents.techniques.decomposition.tucker import covariance_of_channels

CANONICAL = "cp"
SWEEPS = 12
_DAMPING = 1e-6


def canonical_maker(layer: DenseLayer, spread: Spread, seed: int) -> Maker:
    """Factors of any rank; each rank is found anew, from a start that `seed` draws."""
    root, inverse = roots(covariance_of_channels(spread.covariance, layer))
    tensor = np.einsum("ab,obk->aok", root, layer.weight.reshape(layer.outputs, layer.inputs, -1))

    def make(rank: int) -> Factors:
        inputs, _, places = alternated(tensor, rank, seed)
        basis = (inverse @ inputs).T
        before = np.einsum("ra,kr->rak", basis, places).reshape(rank, -1)
        inner = spread.seen_through(layer.matrix, before)
        last = inner.best_last()
        first = Stage(wide(basis, layer.kernel))
        alone = Stage(places.T.reshape(rank, 1, *layer.kernel), layer.axes, groups=rank)
        final = Stage(wide(last, layer.kernel))
        alone, final = balanced(alone, final, np.sqrt(np.maximum(np.diag(inner.covariance), 0.0)))
        return Factors(CANONICAL, rank, (first, alone, final), last @ before, inner.lost(last))

    return make


def alternated(tensor: Matrix, rank: int, seed: int) -> tuple[Matrix, Matrix, Matrix]:
    """Matrices [length of the axis, rank] whose outer products sum up to the tensor with three axes, nearly.

    All columns of the first and third have norm 1.
    """
    random = np.random.default_rng(seed)
    factors = [random.normal(size=(length, rank)) for length in tensor.shape]
    unfolded = [np.moveaxis(tensor, axis, 0).reshape(length, -1) for axis, length in enumerate(tensor.shape)]
    for _ in range(SWEEPS):
        for axis in range(3):
            left, right = (factors[other] for other in range(3) if other != axis)
            both = np.einsum("ar,br->abr", left, right).reshape(-1, rank)
            gram = (left.T @ left) * (right.T @ right)
            gram += _DAMPING * np.trace(gram) / rank * np.eye(rank)
            factors[axis] = np.linalg.solve(gram, (unfolded[axis] @ both).T).T
        for axis in (0, 2):
            norms = np.maximum(np.linalg.norm(factors[axis], axis=0), 1e-30)
            factors[axis] /= norms
            factors[1] *= norms
    return factors[0], factors[1], factors[2]
