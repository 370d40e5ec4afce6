"""Divides examples into disjoint parts for calibration, validation and test, the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import part_sizes

Indices = NDArray[np.int64]


class Split(NamedTuple):
    """Indices of the examples in each part."""

    calibration: Indices
    training: Indices
    choosing: Indices
    evaluation: Indices


def split(examples: int, seed: int, classes: NDArray[Any] | None = None, training_share: float = 0.0) -> Split:
    """The parts of a data set: disjoint, together all examples, fixed by `seed`, each with its share of every class.

    The order of the calibration part spreads the classes evenly over every prefix, so the first n examples are a
    stratified sample too. The same holds for training. Validation and test are in ascending order, which reads a file
    from front to back.
    """
    sizes = part_sizes(examples, training_share)
    order = stratified_order(np.zeros(examples, np.int64) if classes is None else classes.astype(np.int64), seed)
    calibration, training, choosing, evaluation = np.split(order, np.cumsum(sizes)[:-1])
    return Split(calibration, training, np.sort(choosing), np.sort(evaluation))


def portions(indices: Indices, shares: Sequence[float], seed: int, classes: NDArray[Any] | None) -> list[Indices]:
    """Divide ascending `indices` into disjoint portions that end at `shares`, each ascending and spread over classes.

    `classes` are the classes of `indices`. The last share is 1.
    """
    strata = np.zeros(len(indices), np.int64) if classes is None else classes.astype(np.int64)
    order = stratified_order(strata, seed)
    ends = [round(len(indices) * share) for share in shares]
    return [np.sort(indices[chosen]) for chosen in np.split(order, ends[:-1])]


def stratified_order(classes: NDArray[np.int64], seed: int) -> Indices:
    """A random order in which each class is spread evenly: every prefix has its share of the class, give or take one.

    The k-th example of a class of m (in random order) has the position `(k + u) / m` in the whole, with one random u in
    0..1 per class: systematic sampling within strata (Cochran, Sampling Techniques, 1977, chapters 5A and 8).
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    _, starts, sizes = np.unique(classes[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(classes)) - np.repeat(starts, sizes)
    place = (rank + np.repeat(random.random(len(sizes)), sizes)) / np.repeat(sizes, sizes)
    return np.asarray(by_class[np.argsort(place, kind="stable")], dtype=np.int64)
