"""Samples the rows of a layer's inputs and outputs that its covariances are computed from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 200_000
"""The most rows of one layer. More do not improve its covariances."""
ROWS_PER_FEATURE = 25
LEAST_ROWS = 20_000
Take = Callable[[int], NDArray[np.int64]]
"""From a number of rows, the indices of those to take."""


class RowSample:
    """Draws as many rows from each batch as a layer's covariances need, the same ones for the same seed."""

    def __init__(self, features: int, examples: int, seed: int, per_feature: int = ROWS_PER_FEATURE) -> None:
        rows = min(MOST_ROWS, max(LEAST_ROWS * per_feature // ROWS_PER_FEATURE, per_feature * features))
        self._each = -(-rows // examples)
        self._random = np.random.default_rng(seed)

    def of(self, examples: int) -> Take:
        """The sampler for a batch of this number of examples."""

        def take(places: int) -> NDArray[np.int64]:
            wanted = min(places, self._each * examples)
            if wanted == places:
                return np.arange(places)
            return np.sort(self._random.choice(places, wanted, replace=False))

        return take
