"""AdaRound: learns for each weight whether it is rounded up or down, so that the layer's outputs change least.

Nagel et al. 2020, https://arxiv.org/abs/2004.10568: rectified sigmoids (equation 23) that a regularizer with an
annealed exponent (equation 24) drives to 0 or 1. The error of the outputs is a quadratic form of the weights in the
moments of the layer's inputs, so its gradient is exact over all examples and needs no automatic differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.backends.onnx.calibrated.weight_grid import Grid
from apps.agents.measuring.statistics.moments import Matrix

Small = NDArray[np.float32]
ZETA, GAMMA = 1.1, -0.1
"""The stretch of the sigmoid, which makes 0 and 1 reachable."""
FIRST_EXPONENT, LAST_EXPONENT = 20.0, 2.0
WARM_UP = 0.2
"""The share of the steps without the regularizer."""
RATE = 0.02
_MOMENTUM, _SQUARES, _TINY = 0.9, 0.999, 1e-8


@dataclass
class _Adam:
    """Kingma and Ba 2015, https://arxiv.org/abs/1412.6980."""

    first: Small
    second: Small
    steps: int = 0

    def step(self, gradient: Small) -> Small:
        self.steps += 1
        self.first += (1 - _MOMENTUM) * (gradient - self.first)
        self.second += (1 - _SQUARES) * (np.square(gradient) - self.second)
        first = self.first / (1 - _MOMENTUM**self.steps)
        second = self.second / (1 - _SQUARES**self.steps)
        return np.asarray(RATE * first / (np.sqrt(second) + _TINY), np.float32)


def adaround(target: Matrix, gram: Matrix, grid: Grid, *, steps: int, strength: float) -> Matrix:
    """The weights `target` [groups, outputs, features], each rounded up or down on the `grid`.

    The error is measured from `target`, so it holds the weights that would give the wanted outputs exactly. `gram` is
    [groups, features, features]. `strength` weighs the regularizer against the error, whose unit is the mean error of
    one step of one weight of the same output channel.
    """
    exact = target / grid.steps
    below = np.floor(exact)
    scale = np.square(grid.steps) * np.ones_like(target[..., :1])
    unit = (scale * np.diagonal(gram, axis1=1, axis2=2)[:, None]).mean(-1, keepdims=True)
    unit = np.where(unit > 0, unit, 1.0)
    variables, share = _start(exact - below), (exact - below).astype(np.float32)
    adam = _Adam(np.zeros_like(variables), np.zeros_like(variables))
    weighed, moments = (2 * scale / unit).astype(np.float32), gram.astype(np.float32)
    for step in range(steps):
        sigmoid = 1 / (1 + np.exp(-variables))
        stretched: Small = np.asarray(sigmoid * (ZETA - GAMMA) + GAMMA, np.float32)
        up: Small = np.clip(stretched, 0, 1)
        gradient = weighed * ((up - share) @ moments) + strength * _pull(up, step / steps)
        inside = (stretched > 0) & (stretched < 1)
        slope = inside * (ZETA - GAMMA) * sigmoid * (1 - sigmoid)
        variables -= adam.step(np.asarray(gradient * slope, np.float32))
    return np.asarray(np.clip(below + (variables > 0), grid.low, grid.high) * grid.steps)


def _start(share: Matrix) -> Small:
    """The variables with which each weight begins where it is, between the two points of the grid."""
    return np.asarray(-np.log((ZETA - GAMMA) / (np.clip(share, 0.001, 0.999) - GAMMA) - 1), np.float32)


def _pull(soft: Small, passed: float) -> Small | float:
    """The gradient of the regularizer 1 − |2h − 1|^β, whose exponent falls while learning."""
    if passed < WARM_UP:
        return 0.0
    along = (passed - WARM_UP) / (1 - WARM_UP)
    exponent = LAST_EXPONENT + 0.5 * (FIRST_EXPONENT - LAST_EXPONENT) * (1 + np.cos(np.pi * along))
    centred = 2 * soft - 1
    return np.asarray(-2 * exponent * np.sign(centred) * np.abs(centred) ** (exponent - 1), np.float32)
