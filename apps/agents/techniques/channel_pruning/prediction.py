"""Predicts removed channels from the remaining ones, and merges the prediction into their readers, as in GRAIL."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.channel_pruning.channels import Ids

_DAMPING = 1e-4


def prediction_map(covariance: Matrix, kept: NDArray[np.int64]) -> Matrix:
    """[classes, classes]: each row predicts a class from the kept ones; all other columns are zero."""
    inner = covariance[np.ix_(kept, kept)]
    damped = inner + (_DAMPING * np.trace(inner) / len(kept) + 1e-12) * np.eye(len(kept))
    found = np.zeros_like(covariance)
    found[:, kept] = np.linalg.solve(damped, covariance[kept]).T
    found[kept] = np.eye(len(covariance))[kept]
    return found


def merged(weight: NDArray[np.generic], roots: Ids, classes: Ids, predicted: Matrix) -> Matrix:
    """A reader's weight, inputs on the first axis, in which the kept classes' rows take over those of all others.

    For a flattened image this is done place by place.
    """
    found: Matrix = weight.astype(np.float64)
    places = [np.flatnonzero(roots == one) for one in classes.tolist()]
    if len({len(one) for one in places}) == 1:
        for line in np.stack(places, 1):
            found[line] = np.tensordot(predicted.T, found[line], 1)
    return found
