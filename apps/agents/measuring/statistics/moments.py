"""Means and covariances of rows that stream by, batch after batch: float32 products, float64 sums."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Stack = NDArray[np.float32]
"""Rows of each group of a layer: [groups, rows, features]. A dense layer has one group."""


class Moments:
    """Of pairs of rows x and y, for each group: their means, the covariance of x, and that of y with x.

    All are taken about the first batch's means, so that large means cost no digits.
    """

    def __init__(self) -> None:
        self.rows = 0

    def add(self, x: Stack, y: Stack) -> None:
        """Rows of one batch, [groups, rows, features] and [groups, rows, targets]."""
        if not self.rows:
            self._start(x, y)
        x, y = x - self._x0[:, None], y - self._y0[:, None]
        self.rows += x.shape[1]
        self._x += x.sum(1, dtype=np.float64)
        self._y += y.sum(1, dtype=np.float64)
        self._xx += x.transpose(0, 2, 1) @ x
        self._yx += y.transpose(0, 2, 1) @ x
        self._yy += np.square(y).sum(1, dtype=np.float64)

    def _start(self, x: Stack, y: Stack) -> None:
        self._x0, self._y0 = x.mean(1), y.mean(1)
        self._x, self._y = np.zeros(self._x0.shape), np.zeros(self._y0.shape)
        self._yy = np.zeros(self._y0.shape)
        self._xx = np.zeros((*self._x0.shape, x.shape[2]))
        self._yx = np.zeros((*self._y0.shape, x.shape[2]))

    def of_features(self, places: NDArray[np.int64]) -> Moments:
        """The same of some of x's features alone."""
        found = copy.copy(self)
        found._x0, found._x = self._x0[:, places], self._x[:, places]
        found._xx, found._yx = self._xx[:, places[:, None], places], self._yx[:, :, places]
        return found

    def about_zero(self) -> Moments:
        """The same about zero instead of the means, for layers that have no bias."""
        found = copy.copy(self)
        x, y = self.mean_x, self.mean_y
        found._xx = self.rows * (self.gram + x[:, :, None] * x[:, None, :])
        found._yx = self.rows * (self.cross + y[:, :, None] * x[:, None, :])
        found._yy = self.rows * (self.variance_y + np.square(y))
        found._x0 = found._x = np.zeros_like(x)
        found._y0 = found._y = np.zeros_like(y)
        return found

    @property
    def mean_x(self) -> Matrix:
        """[groups, features]."""
        return np.asarray(self._x0 + self._x / self.rows, np.float64)

    @property
    def mean_y(self) -> Matrix:
        """[groups, targets]."""
        return np.asarray(self._y0 + self._y / self.rows, np.float64)

    @property
    def gram(self) -> Matrix:
        """The covariance of x, [groups, features, features]."""
        mean = self._x / self.rows
        return np.asarray(self._xx / self.rows - mean[:, :, None] * mean[:, None, :], np.float64)

    @property
    def cross(self) -> Matrix:
        """The covariance of y with x, [groups, targets, features]."""
        outer = (self._y / self.rows)[:, :, None] * (self._x / self.rows)[:, None, :]
        return np.asarray(self._yx / self.rows - outer, np.float64)

    @property
    def variance_y(self) -> Matrix:
        """[groups, targets]."""
        return np.asarray(np.maximum(self._yy / self.rows - np.square(self._y / self.rows), 0.0), np.float64)
