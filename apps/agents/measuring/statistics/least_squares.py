"""The weights that make of what is left as much as can be made of the original's outputs (ridge regression)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.agents.measuring.statistics.moments import Matrix, Moments

FEW_ROWS = 10
"""The ridge is `1 + FEW_ROWS × features / rows` times what is asked for."""
_FLOOR = 1e-9
"""The least share of the mean variance that is added, so that dead channels are no obstacle."""


@dataclass(frozen=True)
class Fit:
    """Weights [groups, targets, features] and biases [groups, targets], and the share of the variance they miss."""

    weight: Matrix
    bias: Matrix
    error_before: float
    """With the weights as they were, and the best biases."""
    error: float


def fit(moments: Moments, prior: Matrix, ridge: float) -> Fit:
    """W = P + (C − PG)(G + λ·mean(diag G)·I)⁻¹ and b = E[y] − W·E[x], with the `prior` P.

    G is the covariance of x, C that of y with x. Where nothing was cut, C = PG and the weights stay what they are.
    λ is the `ridge`, more where the rows are few for so many features.
    """
    gram, cross = moments.gram, moments.cross
    size = gram.shape[-1]
    ridge *= 1 + FEW_ROWS * size / moments.rows
    scale = np.trace(gram, axis1=1, axis2=2)[:, None, None] / size
    damped = gram + np.where(scale > 0, (ridge + _FLOOR) * scale, 1.0) * np.eye(size)
    lacking = cross - prior @ gram
    weight = prior + np.linalg.solve(damped, lacking.transpose(0, 2, 1)).transpose(0, 2, 1)
    bias = moments.mean_y - (weight @ moments.mean_x[:, :, None])[:, :, 0]
    return Fit(weight, bias, missed(moments, prior), missed(moments, weight))


def missed(moments: Moments, weight: Matrix) -> float:
    """The share of the targets' variance that `weight` leaves unexplained, with the best biases."""
    total = float(moments.variance_y.sum())
    if total <= 0:
        return 0.0
    left = total - 2 * float((weight * moments.cross).sum()) + float(((weight @ moments.gram) * weight).sum())
    return max(0.0, left / total)
