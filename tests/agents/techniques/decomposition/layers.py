"""Small layers with inputs that vary together in a known way."""

from __future__ import annotations

import numpy as np

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spread import Spread


def convolution(outputs: int = 12, inputs: int = 8, kernel: tuple[int, ...] = (3, 3), side: int = 6) -> DenseLayer:
    weight = np.random.default_rng(1).normal(size=(outputs, inputs, *kernel))
    sides = (side,) * len(kernel)
    return DenseLayer("conv", weight, sides, sides)


def product(outputs: int = 12, inputs: int = 20) -> DenseLayer:
    return DenseLayer("product", np.random.default_rng(2).normal(size=(outputs, inputs)))


def uneven(layer: DenseLayer) -> Spread:
    """Inputs of which some directions vary a hundred times more than others."""
    random = np.random.default_rng(3)
    features = layer.matrix.shape[1]
    turned: Matrix = np.linalg.qr(random.normal(size=(features, features)))[0]
    return Spread((turned * np.geomspace(1.0, 1e-4, features)) @ turned.T, random.normal(size=features))
