"""GPTQ: rounds the weights of a layer one after the other and lets those still open make up for each error.

Frantar et al. 2022, https://arxiv.org/abs/2210.17323. Features with much energy come first (act order), grids are
fixed before the first weight is rounded, and all groups of a grouped convolution are rounded side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.agents.backends.onnx.calibrated.weight_grid import Grid
from apps.agents.measuring.statistics.moments import Matrix

DAMPING = 0.01
"""Added to the diagonal, as a share of its mean."""
BLOCK = 128
"""Features whose errors are passed on to the rest at once, which changes nothing but the time."""


def gptq(weights: Matrix, gram: Matrix, grid: Grid) -> Matrix:
    """`weights` [groups, outputs, features] on the `grid`; `gram` [groups, features, features] is of the inputs."""
    order = np.argsort(-np.diagonal(gram, axis1=1, axis2=2), axis=1, kind="stable")
    upper = _inverse_factor(gram, order)
    left = np.take_along_axis(weights, order[:, None], 2).copy()
    steps = np.take_along_axis(np.broadcast_to(grid.steps, weights.shape), order[:, None], 2)
    pinned = None if grid.pinned is None else np.take_along_axis(grid.pinned, order[:, None], 2)
    ordered = Grid(steps, grid.low, grid.high, pinned)
    made = np.empty_like(left)
    features = left.shape[2]
    for start in range(0, features, BLOCK):
        stop = min(start + BLOCK, features)
        errors = _round_block(left, made, upper, ordered, start, stop)
        left[:, :, stop:] -= errors @ upper[:, start:stop, stop:]
    back: Matrix = np.empty_like(made)
    np.put_along_axis(back, order[:, None], made, 2)
    return back


def _round_block(left: Matrix, made: Matrix, upper: Matrix, grid: Grid, start: int, stop: int) -> Matrix:
    errors = np.empty((*left.shape[:2], stop - start))
    for place in range(start, stop):
        column = slice(place, place + 1)
        pinned = None if grid.pinned is None else grid.pinned[:, :, column]
        made[:, :, column] = Grid(grid.steps[:, :, column], grid.low, grid.high, pinned).nearest(left[:, :, column])
        error = (left[:, :, column] - made[:, :, column]) / upper[:, column, column]
        left[:, :, place:stop] -= error * upper[:, column, place:stop]
        errors[:, :, place - start] = error[..., 0]
    return errors


def _inverse_factor(gram: Matrix, order: NDArray[np.int64]) -> Matrix:
    """The upper Cholesky factor of the inverse of the damped gram matrix, its features in `order`."""
    ordered = np.take_along_axis(np.take_along_axis(gram, order[:, :, None], 1), order[:, None], 2)
    diagonal = np.diagonal(ordered, axis1=1, axis2=2)
    damping = np.maximum(DAMPING * diagonal.mean(1), np.finfo(np.float64).tiny * 1e30)
    ordered = ordered + damping[:, None, None] * np.eye(ordered.shape[1])
    return np.asarray(np.swapaxes(np.linalg.cholesky(np.linalg.inv(ordered)), 1, 2))
