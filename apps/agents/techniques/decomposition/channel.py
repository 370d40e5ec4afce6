"""Channel SVD: the layer's own kernel into few channels, then 1×1. Of a matrix product, two narrower products.

With inputs of covariance Σ, truncating the singular values of WΣ^½ minimizes ‖(W − W̃)Σ^½‖ at a given rank (Wang et al.
2024, SVD-LLM, https://arxiv.org/abs/2403.07378). Its left singular vectors V are the eigenvectors of WΣWᵀ, and
W̃ = VVᵀW, so Σ need not be inverted.
"""

from __future__ import annotations

import numpy as np

from apps.agents.techniques.decomposition.factors import Factors, Maker, Stage, balanced, wide
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spread import Spread

CHANNEL = "channel"


def channel_maker(layer: DenseLayer, spread: Spread) -> Maker:
    """Factors of any rank up to the number of outputs."""
    weight = layer.matrix
    values, vectors = np.linalg.eigh(weight @ spread.covariance @ weight.T)
    order = np.argsort(values)[::-1]
    values, vectors = np.maximum(values[order], 0.0), vectors[:, order]
    energy = max(float(values.sum()), np.finfo(np.float64).tiny)

    def make(rank: int) -> Factors:
        basis = vectors[:, :rank]
        narrow = basis.T @ weight
        first = Stage(narrow.reshape(rank, layer.inputs, *layer.kernel), layer.axes)
        last = Stage(wide(basis, layer.kernel))
        stages = balanced(first, last, np.sqrt(values[:rank]))
        return Factors(CHANNEL, rank, stages, basis @ narrow, float(values[rank:].sum()) / energy)

    return make
