"""Ranks the channels of a group, and tells how much of what layers read of them is lost at each width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.channel_pruning.groups import Group
from apps.agents.techniques.channel_pruning.readings import Reading

IMPORTANCES = ("reconstruction", "variance", "l2")
_TINY = 1e-10


@dataclass(frozen=True)
class Ranking:
    """A group's classes, the most important first, and the loss with only the first k of them."""

    order: NDArray[np.int64]
    """Indices into `Group.roots`."""
    loss: Matrix
    """[classes + 1]: with the first k kept, the share of what is read that cannot be predicted from them; 0 to 1."""


def rank(group: Group, read: Sequence[Reading], made: Sequence[Matrix], importance: str) -> Ranking:
    """The ranking by one of `IMPORTANCES`. `made` has `readings.making_energy` of each layer that makes the channels.

    `reconstruction` keeps the channels from which the others can be predicted best, one after the other: a column
    subset by pivoting on the covariance, as in Farahat et al. 2013 (https://arxiv.org/abs/1312.6838), each class
    weighted by its readers' weights. `variance` is the variance of each class times these weights, `l2` the norm of the
    weights that make and read it.
    """
    if importance == "reconstruction":
        return _eliminated(read, group.width, None)
    score = _norms(read, made) if importance == "l2" else _variances(read)
    return _eliminated(read, group.width, np.argsort(-score, kind="stable"))


def _eliminated(read: Sequence[Reading], width: int, order: NDArray[np.int64] | None) -> Ranking:
    """Condition the covariances on one class after the other, in the `order` given or the best at each step."""
    left = [reading.covariance.copy() for reading in read]
    weights = [reading.energy for reading in read]
    whole = [max(_TINY, float(energy @ np.diag(cov))) for energy, cov in zip(weights, left, strict=True)]
    taken, loss, open_ones = [], [_lost(left, weights, whole)], np.ones(width, bool)
    for step in range(width):
        best = int(order[step]) if order is not None else _best(left, weights, whole, open_ones)
        taken.append(best)
        open_ones[best] = False
        for cov in left:
            pivot = float(cov[best, best])
            if pivot > _TINY:
                cov -= np.outer(cov[:, best], cov[best]) / pivot
        loss.append(_lost(left, weights, whole))
    return Ranking(np.array(taken, np.int64), np.minimum.accumulate(np.clip(loss, 0.0, 1.0)))


def _best(
    left: Sequence[Matrix], weights: Sequence[Matrix], whole: Sequence[float], open_ones: NDArray[np.bool_]
) -> int:
    """The class that explains most of the remaining variance, in all readings together."""
    gain = np.zeros(len(open_ones))
    for cov, energy, total in zip(left, weights, whole, strict=True):
        pivots = np.diag(cov)
        gain += np.where(pivots > _TINY, (energy @ np.square(cov)) / np.maximum(pivots, _TINY), 0.0) / total
    return int(np.argmax(np.where(open_ones, gain, -1.0)))


def _lost(left: Sequence[Matrix], weights: Sequence[Matrix], whole: Sequence[float]) -> float:
    shares = [float(energy @ np.diag(cov)) / total for cov, energy, total in zip(left, weights, whole, strict=True)]
    return float(np.mean(shares)) if shares else 0.0


def _variances(read: Sequence[Reading]) -> Matrix:
    found = [reading.energy * np.diag(reading.covariance) for reading in read]
    return np.asarray(sum(one / max(_TINY, float(one.sum())) for one in found), np.float64)


def _norms(read: Sequence[Reading], made: Sequence[Matrix]) -> Matrix:
    """The norms of the weights that make each class and of those that read it, each layer's scaled to their mean."""
    norms = [np.sqrt(one) for one in (*(reading.energy for reading in read), *made)]
    return np.asarray(sum(one / max(_TINY, float(one.mean())) for one in norms), np.float64)
