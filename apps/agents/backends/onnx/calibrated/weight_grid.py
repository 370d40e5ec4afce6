"""The grids of weights in few bits: symmetric, with one step per output channel or per block of a channel's weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.measuring.statistics.moments import Matrix

RATIOS = tuple(round(0.4 + 0.025 * step, 3) for step in range(25))
"""Of the largest weight: where the grid may end."""


@dataclass(frozen=True)
class Grid:
    """Steps and bounds for weights of shape [groups, outputs, features]; all arrays broadcast to that."""

    steps: Matrix
    low: int
    high: int
    pinned: NDArray[np.bool_] | None = None
    """Weights that keep the code `low`, so that rounding to nearest in blocks finds the same step again."""

    def codes(self, weights: Matrix) -> Matrix:
        """Codes of the nearest points of the grid."""
        codes = np.clip(np.rint(weights / self.steps), self.low, self.high)
        return codes if self.pinned is None else np.where(self.pinned, self.low, codes)

    def nearest(self, weights: Matrix) -> Matrix:
        return np.asarray(self.codes(weights) * self.steps)


def rounding_grid(weights: Matrix, bits: int) -> Grid:
    """The grid of rounding to nearest: it ends at the largest weight of each output channel."""
    return _by_channel(weights, bits, np.ones((*weights.shape[:2], 1)))


def fitted_grid(weights: Matrix, bits: int, energy: Matrix) -> Grid:
    """The grid whose end leaves the smallest error of each output channel, weighed by the inputs' `energy`.

    `energy` is [groups, features].
    """
    best = np.full((*weights.shape[:2], 1), np.inf)
    chosen = np.ones_like(best)
    for ratio in RATIOS:
        grid = _by_channel(weights, bits, np.full_like(best, ratio))
        error = (np.square(grid.nearest(weights) - weights) * energy[:, None]).sum(-1, keepdims=True)
        better = error < best
        best, chosen = np.where(better, error, best), np.where(better, ratio, chosen)
    return _by_channel(weights, bits, chosen)


def _by_channel(weights: Matrix, bits: int, ratio: Matrix) -> Grid:
    most = 2 ** (bits - 1) - 1
    largest = np.abs(weights).max(-1, keepdims=True)
    return Grid(_float32(np.where(largest > 0, ratio * largest / most, 1.0)), -most, most)


def block_grid(weights: Matrix, bits: int, block: int) -> Grid:
    """The grid of `MatMulNBits` without zero points: each block's weight of largest magnitude has the lowest code."""
    groups, outputs, features = weights.shape
    count = -(-features // block)
    padded = np.zeros((groups, outputs, count * block))
    padded[..., :features] = weights
    blocks = padded.reshape(groups, outputs, count, block)
    places = np.abs(blocks).argmax(-1)
    extremes = np.take_along_axis(blocks, places[..., None], -1)
    low = -(2 ** (bits - 1))
    steps = np.broadcast_to(_float32(np.where(extremes != 0, extremes / low, 1.0)), blocks.shape)
    pinned = (np.arange(block) == places[..., None]) & (extremes != 0)
    flat = (groups, outputs, count * block)
    return Grid(steps.reshape(flat)[..., :features], low, -low - 1, pinned.reshape(flat)[..., :features])


def closer(one: Matrix, other: Matrix, target: Matrix, gram: Matrix) -> Matrix:
    """For each output channel the weights of `one` or `other` whose outputs are closer to those of `target`.

    `gram` [groups, features, features] is of the inputs.
    """
    errors = [(((made - target) @ gram) * (made - target)).sum(-1, keepdims=True) for made in (one, other)]
    return np.asarray(np.where(errors[0] <= errors[1], one, other))


def _float32(steps: Matrix) -> Matrix:
    """Steps that float32 can represent, because files store them so."""
    return np.asarray(steps, np.float32).astype(np.float64)
