"""Which rows of a layer's inputs and outputs its covariances are taken from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 200_000
"""Of one layer; more say nothing new of its covariances."""
ROWS_PER_FEATURE = 25
LEAST_ROWS = 20_000
Take = Callable[[int], NDArray[np.int64]]
"""Of so many places, the numbers of those to take."""


class RowSample:
    """Draws as many rows of each batch as a layer's covariances need, the same ones every time."""

    def __init__(self, features: int, examples: int, seed: int) -> None:
        rows = min(MOST_ROWS, max(LEAST_ROWS, ROWS_PER_FEATURE * features))
        self._each = -(-rows // examples)
        self._random = np.random.default_rng(seed)

    def of(self, examples: int) -> Take:
        """For a batch of so many examples."""

        def take(places: int) -> NDArray[np.int64]:
            wanted = min(places, self._each * examples)
            if wanted == places:
                return np.arange(places)
            return np.sort(self._random.choice(places, wanted, replace=False))

        return take
