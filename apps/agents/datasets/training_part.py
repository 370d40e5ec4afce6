"""The examples that a data set sets apart for techniques that train, taken in any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingPart:
    """Examples in neither the calibration, nor the validation, nor the test part."""

    indices: Indices
    """Their numbers, in an order whose every beginning is spread evenly over the classes: in the file, or, if a text
    has several rows to learn from, among these rows."""
    take: Callable[[Indices], tuple[Mapping[str, NDArray[np.generic]], Any]]
    """Inputs by the model's names, and labels where the task has any, of the examples with these numbers."""
