"""Fidelity: without labels, the original's outputs are the truth.

The measure depends on the output. For class scores: whether the best class is the same. For integers, truth values and
texts: whether they are equal. For other numbers: how much of the original's outputs the candidate's explain (R², which
counts a different scale, sign or offset as error). For vectors also the cosine, the usual measure of embeddings, which
detects only a different sign. For sequences of classes, on request: how alike they are after greedy decoding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.datasets.loading import Labels
from apps.agents.evaluation.metrics.classification import class_scores, top_of
from apps.agents.evaluation.metrics.comparing import (
    MCNEMAR,
    Array,
    Bools,
    Scorer,
    compare_by_bootstrap,
    comparison,
    flat,
    means_of,
    times,
)
from apps.agents.evaluation.metrics.embedding import cosines
from apps.agents.evaluation.metrics.sequences import SequenceMeter
from apps.agents.measuring.statistics.intervals import Floats, Indices, mcnemar_p, share

CONSTANT = 1e-3
"""Outputs that vary by less than this share of their magnitude count as constant: the variation is rounding."""
BLOCK_ELEMENTS = 1_000_000
"""Elements held in double precision at once, unless a single row is longer."""


class FidelityScorer(Scorer):
    """`by_class`: the output is one score per class. `tokens`: it is `[N, tokens, size]`. `sequences`: decodes it.

    Tokens that consist only of 0 are padding.
    """

    def __init__(self, *, by_class: bool, tokens: bool = False, sequences: SequenceMeter | None = None) -> None:
        self._by_class, self._tokens, self._sequences = by_class, tokens, sequences
        self._equal: list[Floats] = []
        self._cosines: list[Floats] = []
        self._squares: list[Floats] = []
        self._spread = Spread()
        self._columns = 0

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        if self._sequences is not None:
            self._sequences.add(original, candidate)
        if original.dtype.kind != "f":
            self._equal.append(np.asarray(_rows(original) == _rows(candidate), dtype=np.float64).mean(axis=1))
            self._columns = max(self._columns, _rows(original).shape[1])
            return
        if self._by_class:
            best = [top_of(class_scores(output), 1)[:, 0] for output in (original, candidate)]
            self._equal.append((best[0] == best[1]).astype(np.float64))
            self._columns = 1
        original, candidate = finite_pair(original, candidate)
        width = original.shape[-1] if self._tokens else None
        self._squares.append(squared_errors(original, candidate, self._spread, width))
        if _rows(original).shape[1] > 1:
            self._cosines.append(cosines(original, candidate))

    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        found = [] if not self._equal else [self._agreement(confidence, seed)]
        if self._squares:
            unexplained = self._unexplained()

            def r2(indices: Indices) -> Floats:
                explained = 1 - unexplained[indices].mean(-1)
                return np.stack([np.ones_like(explained), explained])

            found.append(compare_by_bootstrap(Metric.R2, r2, len(unexplained), confidence, seed))
        if self._cosines:
            similar = np.concatenate(self._cosines)
            both = means_of(np.ones_like(similar), similar)
            found.append(compare_by_bootstrap(Metric.COSINE, both, len(similar), confidence, seed))
        if self._sequences is not None:
            found.append(self._sequences.comparison(confidence, seed))
        return found

    def right(self, metric: Metric) -> tuple[Bools, Bools] | None:
        if metric is not Metric.AGREEMENT or not self._equal or self._columns > 1:
            return None
        equal = np.concatenate(self._equal).astype(bool)
        return np.ones_like(equal), equal

    def share(self, metric: Metric, confidence: float) -> MetricComparison | None:
        """The interval is that of a single share, because nothing can be better than the truth itself."""
        return None if self.right(metric) is None else self._agreement(confidence, seed=0)

    def values(self, metric: Metric) -> tuple[Floats, Floats] | None:
        if metric is Metric.AGREEMENT and self._equal:
            reached = 100 * np.concatenate(self._equal)
        elif metric is Metric.SEQUENCE_AGREEMENT and self._sequences is not None:
            reached = 100 - self._sequences.losses()
        elif metric is Metric.COSINE and self._cosines:
            reached = 100 * np.concatenate(self._cosines)
        else:
            return None
        return np.full_like(reached, 100.0), reached

    def losses(self, metric: Metric) -> Floats | None:
        if metric is Metric.R2 and self._squares:
            return 100 * self._unexplained()
        return super().losses(metric)

    def _unexplained(self) -> Floats:
        """Each example's squared error as a share of the mean spread: its mean is 1 − R²."""
        squares = np.concatenate(self._squares)
        return np.asarray(squares / self._spread.per_example(squares))

    def _agreement(self, confidence: float, seed: int) -> MetricComparison:
        """With one answer per example, its share and McNemar's test; with several, the mean of each example's share."""
        equal = np.concatenate(self._equal)
        if self._columns > 1:
            both = means_of(np.ones_like(equal), equal)
            return compare_by_bootstrap(Metric.AGREEMENT, both, len(equal), confidence, seed)
        same = int(equal.sum())
        kept = share(same, len(equal), confidence)
        drop = Estimate(value=1 - kept.value, low=1 - (kept.high or 1.0), high=1 - (kept.low or 0.0))
        p_value = mcnemar_p(len(equal) - same, 0)
        return comparison(Metric.AGREEMENT, Estimate(value=1.0), kept, drop, MCNEMAR, p_value)

    def agreement(self, confidence: float) -> Estimate | None:
        if not self._equal or self._columns > 1:
            return None
        equal = np.concatenate(self._equal)
        return times(share(int(equal.sum()), len(equal), confidence), 100)


def finite_pair(original: Array, candidate: Array) -> tuple[Array, Array]:
    """Both arrays with every value that is not finite replaced.

    Where both have the same one, as in a mask of −∞, both become 0. Elsewhere they get the largest possible difference,
    which is the original's largest magnitude.
    """
    hidden, lost = ~np.isfinite(original), ~np.isfinite(candidate)
    if not hidden.any() and not lost.any():
        return original, candidate
    exact = np.where(hidden, 0, original)
    farthest = float(np.abs(exact).max(initial=0.0)) or 1.0
    agree = (original == candidate) | (np.isnan(original) & np.isnan(candidate))
    changed = np.where(lost | hidden, np.where(agree, 0, exact + farthest), candidate)
    return exact, changed


class Spread:
    """How much the original's outputs vary: the sum of squares around their means. Needs the memory of one example.

    There is one mean for each number of an output, or one for all numbers if the length changes between batches.
    Batches are merged as in Chan, Golub and LeVeque, The American Statistician 37 (1983).
    """

    def __init__(self) -> None:
        self._rows = 0
        self._by_column: _Moments | None = None
        self._overall = _Moments()
        self._energy = 0.0

    def add(self, rows: Floats) -> None:
        """Add a block of rows."""
        if not len(rows):
            return
        first = self._rows == 0
        self._rows += len(rows)
        self._energy += float(np.square(rows).sum())
        self._overall.add(rows.reshape(-1, 1))
        if first:
            self._by_column = _Moments()
        if self._by_column is not None:
            self._by_column = self._by_column if self._by_column.fits(rows) else None
        if self._by_column is not None:
            self._by_column.add(rows)

    def per_example(self, squares: Floats) -> float:
        """The spread per example, above 0; `squares` are the examples' squared errors.

        For constant outputs it is a small share of their magnitude; for outputs that are all 0 it is the error itself.
        """
        around = self._by_column or self._overall
        total = max(around.squares, CONSTANT**2 * self._energy) or float(squares.sum()) or 1.0
        return total / max(1, len(squares))


class _Moments:
    """Count, mean and sum of squares around it, column by column."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: Floats = np.zeros(0)
        self._squares: Floats = np.zeros(0)

    def fits(self, rows: Floats) -> bool:
        return self._count == 0 or rows.shape[1] == len(self._mean)

    def add(self, rows: Floats) -> None:
        mean = rows.mean(axis=0)
        squares = np.square(rows - mean).sum(axis=0)
        if self._count == 0:
            self._count, self._mean, self._squares = len(rows), mean, squares
            return
        both, apart = self._count + len(rows), mean - self._mean
        self._squares = self._squares + squares + np.square(apart) * self._count * len(rows) / both
        self._mean = self._mean + apart * len(rows) / both
        self._count = both

    @property
    def squares(self) -> float:
        return float(self._squares.sum())


def squared_errors(original: Array, candidate: Array, spread: Spread, width: int | None) -> Floats:
    """The sum of squared differences of each example. Also adds the original's outputs to `spread`.

    With a `width`, `spread` receives rows of that many numbers (several per example), except those that are all 0.
    """
    step = max(1, BLOCK_ELEMENTS * len(original) // max(1, original.size))
    found: list[Floats] = [np.empty(0)]
    for start in range(0, len(original), step):
        exact, changed = (flat(array[start : start + step]) for array in (original, candidate))
        shown = exact if width is None else exact.reshape(-1, width)
        spread.add(shown if width is None else shown[shown.any(axis=1)])
        found.append(np.square(exact - changed).sum(axis=1))
    return np.concatenate(found)


def _rows(array: Array) -> NDArray[np.generic]:
    return array.reshape(len(array), -1)
