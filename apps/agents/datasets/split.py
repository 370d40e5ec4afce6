"""Which examples calibrate and which evaluate: never the same ones, and the same ones every time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.agents.dataset_spec import calibration_count

Indices = NDArray[np.int64]


def split(
    examples: int, seed: int, classes: NDArray[Any] | None = None, training_share: float = 0.0
) -> tuple[Indices, Indices, Indices]:
    """Example numbers for calibration, evaluation and training: disjoint, together all of them, fixed by `seed`.

    Calibration comes in an order whose every beginning is spread evenly over the classes: whoever takes only the first
    n gets a stratified sample too; so does training. Evaluation comes in ascending order, which reads a file from front
    to back.
    """
    order = stratified_order(np.zeros(examples, np.int64) if classes is None else classes.astype(np.int64), seed)
    calibration = order[: calibration_count(examples)]
    training = order[len(calibration) :][: int(examples * training_share)]
    apart = np.concatenate([calibration, training])
    evaluation = np.setdiff1d(np.arange(examples, dtype=np.int64), apart, assume_unique=True)
    return calibration, evaluation, training


def stratified_order(classes: NDArray[np.int64], seed: int) -> Indices:
    """A random order in which each class is spread evenly: every beginning holds its share of it, give or take one.

    The k-th example of a class of m (in random order) stands at the place `(k + u) / m` of the whole, with one random u
    in 0..1 a class: systematic sampling within strata (Cochran, Sampling Techniques, 1977, chapters 5A and 8).
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    _, starts, sizes = np.unique(classes[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(classes)) - np.repeat(starts, sizes)
    place = (rank + np.repeat(random.random(len(sizes)), sizes)) / np.repeat(sizes, sizes)
    return np.asarray(by_class[np.argsort(place, kind="stable")], dtype=np.int64)
