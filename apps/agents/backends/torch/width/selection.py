"""Which units of a block are removed: those that the others can compensate for best.

Structured optimal brain surgeon, as in ZipLM (Kurtic et al. 2023, https://arxiv.org/abs/2302.04089): with the inverse P
of the covariance of what a layer reads, the output's error without the features U, and with all others fitted again, is
tr(W_U (P_UU)⁻¹ W_Uᵀ). The cheapest units are removed first, and W and P are updated each time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.agents.measuring.statistics.moments import Matrix

RECONSTRUCTION, VARIANCE = "reconstruction", "variance"
IMPORTANCES = (RECONSTRUCTION, VARIANCE)
STEPS = 32
"""The most rounds of removal. Units of a round are removed together, but judged as if each were removed alone."""
_FLOOR = 1e-9

Units = NDArray[np.int64]


def kept_units(gram: Matrix, weight: Matrix, size: int, count: int, ridge: float, importance: str) -> Units:
    """The `count` units that stay, in ascending order.

    `gram` is the covariance [features, features] of what the layer reads, `weight` [outputs, features] its weight, and
    each unit has `size` neighbouring features. `variance` keeps the units that add most to the output by themselves.
    """
    units = len(gram) // size
    if importance == VARIANCE:
        return np.sort(np.argsort(-_own_share(gram, weight, size), kind="stable")[:count])
    damping = (ridge + _FLOOR) * max(float(np.trace(gram)) / len(gram), _FLOOR)
    inverse = np.asarray(np.linalg.inv(gram + damping * np.eye(len(gram))), np.float64)
    left = np.arange(units)
    at_once = max(1, -(-(units - count) // STEPS))
    while len(left) > count:
        going = np.sort(np.argsort(_errors(inverse, weight, size), kind="stable")[: min(at_once, len(left) - count)])
        inverse, weight = _without(inverse, weight, features_of(going, size))
        left = np.delete(left, going)
    return left


def features_of(units: Units, size: int) -> Units:
    """The indices of the features of `units`, unit by unit."""
    return np.asarray((units[:, None] * size + np.arange(size)).reshape(-1), np.int64)


def _errors(inverse: Matrix, weight: Matrix, size: int) -> Matrix:
    """[units]: the output's error without each unit, with all others fitted again."""
    if size == 1:
        return np.asarray(np.square(weight).sum(0) / np.diag(inverse), np.float64)
    units = len(inverse) // size
    own = inverse.reshape(units, size, units, size)[np.arange(units), :, np.arange(units)]
    parts = weight.reshape(len(weight), units, size).transpose(1, 2, 0)
    return np.asarray((parts * np.linalg.solve(own, parts)).sum((1, 2)), np.float64)


def _without(inverse: Matrix, weight: Matrix, going: Units) -> tuple[Matrix, Matrix]:
    """Inverse and weight of the remaining features, after those in `going` were regressed out."""
    staying = np.setdiff1d(np.arange(len(inverse)), going)
    rows = inverse[np.ix_(going, staying)]
    made_up = np.linalg.solve(inverse[np.ix_(going, going)], rows)
    return inverse[np.ix_(staying, staying)] - rows.T @ made_up, weight[:, staying] - weight[:, going] @ made_up


def _own_share(gram: Matrix, weight: Matrix, size: int) -> Matrix:
    """[units]: the variance of what each unit adds to the output."""
    if size == 1:
        return np.asarray(np.square(weight).sum(0) * np.diag(gram), np.float64)
    units = len(gram) // size
    own = gram.reshape(units, size, units, size)[np.arange(units), :, np.arange(units)]
    parts = weight.reshape(len(weight), units, size).transpose(1, 0, 2)
    return np.asarray(((parts @ own) * parts).sum((1, 2)), np.float64)
