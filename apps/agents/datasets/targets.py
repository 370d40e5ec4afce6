"""What a language model has to predict, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TokenTargets:
    """The labels of a batch of rows of tokens. An example may have several rows, in any batches."""

    tokens: NDArray[np.int64]
    """`[rows, tokens]`: the token that follows each position, or `IGNORED` if it is not predicted."""
    examples: NDArray[np.int64]
    """The example that each row belongs to."""
    choices: NDArray[np.int64]
    """Which of the example's continuations the row ends with; 0 if there is only one."""
    characters: NDArray[np.int64]
    """Length of the row's continuation in characters; 0 if it has none."""
    right: NDArray[np.bool_]
    """Whether the row's continuation is the right one."""
