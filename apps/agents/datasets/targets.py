"""What a language model is to predict, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TokenTargets:
    """The labels of a batch of rows of tokens. An example may have several rows, in any batches."""

    tokens: NDArray[np.int64]
    """`[rows, tokens]`: the token that follows each position, or `IGNORED` where nothing is to be predicted."""
    examples: NDArray[np.int64]
    """The example that each row belongs to."""
    choices: NDArray[np.int64]
    """Which of the example's continuations a row ends with; 0 where there is only one."""
    characters: NDArray[np.int64]
    """Of the row's continuation; 0 where it has none."""
    right: NDArray[np.bool_]
    """Whether the row's continuation is the right one."""
