"""Embeddings: the direction of a vector, compared with a labelled vector or within labelled pairs."""

from __future__ import annotations

import numpy as np
import scipy  # Its parts load on first use: `stats` alone takes longer than most jobs.

from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.datasets.loading import Labels
from apps.agents.evaluation.fidelity import finite_parts
from apps.agents.evaluation.metrics.comparing import Array, Scorer, compare_by_bootstrap, flat, means_of
from apps.agents.measuring.statistics.intervals import Floats, Indices

BLOCK_ELEMENTS = 1_000_000
"""Elements held in double precision at once, unless a single row is longer."""


def pooled(output: Array, how: str, mask: Array | None) -> Array:
    """One embedding per example from token embeddings `[N, tokens, size]`; `mask` `[N, tokens]` is 0 for padding."""
    if how == "none" or output.ndim != 3:
        return output
    if how == "first":
        return np.asarray(output[:, 0])
    values = output.astype(np.float64)
    if mask is None:
        return np.asarray(values.mean(1))
    weights = mask.astype(np.float64)[:, :, np.newaxis]
    return np.asarray((values * weights).sum(1) / np.maximum(weights.sum(1), 1))


def cosines(left: Array, right: Array) -> Floats:
    """Cosine of each pair of rows: 1 for two zero vectors, 0 for a zero vector and any other."""
    rows = len(left)
    step = max(1, BLOCK_ELEMENTS * rows // max(1, left.size))
    parts = (slice(start, start + step) for start in range(0, rows, step))
    return np.concatenate([np.empty(0), *(_cosines(flat(left[part]), flat(right[part])) for part in parts)])


def _cosines(a: Floats, b: Floats) -> Floats:
    a, b = (np.asarray(part, np.float64) for part in finite_parts(a, b) or (a, b))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = np.all(a == b, axis=1)
    return np.where(same, 1.0, np.sum(a * b, axis=1) / np.where(lengths > 0, lengths, 1.0))


def check_vectors(output: Array) -> None:
    """Raise `OutputUnfit` for a single number per example, whose direction is only its sign."""
    if flat(output).shape[1] < 2:
        raise OutputUnfit(
            output="0",
            shape=list(output.shape),
            task=Task.EMBEDDING,
            reason="a direction needs at least two numbers per example; a single number is a regression",
        )


class VectorScorer(Scorer):
    """The mean cosine similarity to the label, one vector per example."""

    def __init__(self) -> None:
        self._cosines: tuple[list[Floats], list[Floats]] = ([], [])

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        truth = np.asarray(labels)
        for output, parts in zip((original, candidate), self._cosines, strict=True):
            check_vectors(output)
            if flat(output).shape != flat(truth).shape:
                raise OutputUnfit(
                    output="0",
                    shape=list(output.shape),
                    task=Task.EMBEDDING,
                    reason=f"the labels have the shape {list(truth.shape)}",
                )
            parts.append(cosines(output, truth))

    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        original, candidate = (np.concatenate(parts) for parts in self._cosines)
        both = means_of(original, candidate)
        return [compare_by_bootstrap(Metric.COSINE, both, len(original), confidence, seed)]

    def values(self, metric: Metric) -> tuple[Floats, Floats] | None:
        original, candidate = (np.concatenate(parts) for parts in self._cosines)
        return 100 * original, 100 * candidate


class PairScorer(Scorer):
    """Spearman's correlation of each pair's cosine with its score. A batch is all left rows, then all right ones."""

    def __init__(self) -> None:
        self._labels: list[Floats] = []
        self._cosines: tuple[list[Floats], list[Floats]] = ([], [])

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        self._labels.append(np.asarray(labels, dtype=np.float64).reshape(-1))
        for output, parts in zip((original, candidate), self._cosines, strict=True):
            check_vectors(output)
            half = len(output) // 2
            parts.append(cosines(output[:half], output[half:]))

    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        labels = np.concatenate(self._labels)
        similarities = [np.concatenate(parts) for parts in self._cosines]

        def both(indices: Indices) -> Floats:
            truth = scipy.stats.rankdata(labels[indices], axis=-1)
            return np.stack(
                [_correlations(truth, scipy.stats.rankdata(each[indices], axis=-1)) for each in similarities]
            )

        return [compare_by_bootstrap(Metric.SPEARMAN, both, len(labels), confidence, seed)]


def _correlations(left: Floats, right: Floats) -> Floats:
    """Pearson's correlation of each pair of rows; 0 if a row is constant."""
    a, b = left - left.mean(-1, keepdims=True), right - right.mean(-1, keepdims=True)
    lengths = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.asarray((a * b).sum(-1) / np.where(lengths > 0, lengths, 1.0))
