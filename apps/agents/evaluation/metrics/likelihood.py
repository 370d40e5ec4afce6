"""How language models predict the next tokens: perplexity, and accuracy by log-likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.metrics import Flips, MetricComparison
from apps.agents.contracts.text import IGNORED
from apps.agents.datasets.loading import Labels
from apps.agents.datasets.targets import TokenTargets
from apps.agents.evaluation.metrics.comparing import Array, Scorer, compare_by_bootstrap
from apps.agents.measuring.statistics.intervals import Floats, Indices, Statistic

Bools = NDArray[np.bool_]

BLOCK_ELEMENTS = 1_000_000
"""Logits processed together. They fit in the processor's cache."""
MOST_NATS = 700.0
"""The exponential of a larger number overflows."""


@dataclass(frozen=True)
class Predicted:
    """The prediction of one model for every target token."""

    rows: NDArray[np.int64]
    """`[predicted]`: the row of each target token."""
    nll: Floats
    """Negative log-likelihood in nats."""
    likeliest: NDArray[np.int64]
    """The most likely token by the model."""
    right: Bools


def predict(logits: Array, targets: NDArray[np.int64], task: Task) -> Predicted:
    """`logits` `[rows, tokens, vocabulary]` at `targets` `[rows, tokens]`. Raises `OutputUnfit` for other shapes."""
    if logits.ndim != 3 or logits.shape[:2] != targets.shape or logits.dtype.kind != "f":
        reason = f"the task needs one score for each token of the vocabulary at each of {targets.shape[1]} tokens"
        raise OutputUnfit(output="0", shape=list(logits.shape), task=task, reason=reason)
    rows, positions = np.nonzero(targets != IGNORED)
    wanted = targets[rows, positions]
    if len(wanted) and int(wanted.max()) >= logits.shape[2]:
        reason = f"the tokenizer produces token {int(wanted.max()):,}, but the model scores only {logits.shape[2]:,}"
        raise OutputUnfit(output="0", shape=list(logits.shape), task=task, reason=reason)
    nll, likeliest = np.empty(len(wanted)), np.empty(len(wanted), np.int64)
    step = max(1, BLOCK_ELEMENTS // logits.shape[2])
    for start in range(0, len(wanted), step):
        part = slice(start, start + step)
        scores = logits[rows[part], positions[part]].astype(np.float32, copy=False)
        likeliest[part] = scores.argmax(1)
        nll[part] = _nll(scores, wanted[part])
    return Predicted(rows, nll, likeliest, likeliest == wanted)


def _nll(scores: Array, wanted: NDArray[np.int64]) -> Floats:
    """Log of the sum of exponentials minus the target's score, both relative to the highest score."""
    shifted = scores - scores.max(1, keepdims=True)
    right = shifted[np.arange(len(wanted)), wanted].astype(np.float64)
    total = np.exp(shifted, out=shifted).sum(1, dtype=np.float64)
    return np.asarray(np.log(total) - right, dtype=np.float64)


def _summed(places: NDArray[np.int64], values: Floats, count: int) -> Floats:
    """The sum of the values at each of `count` places."""
    return np.asarray(np.bincount(places, values, count), dtype=np.float64)


def _tokens(labels: Labels) -> TokenTargets:
    assert isinstance(labels, TokenTargets), "the data set supplies the target tokens of this task"
    return labels


class PerplexityScorer(Scorer):
    """Perplexity (the exponential of the mean negative log-likelihood of all tokens), and that mean itself.

    An example is a document. Its tokens are not independent, so whole documents are resampled. Two sums per row are
    kept in memory.
    """

    def __init__(self) -> None:
        self._examples: list[NDArray[np.int64]] = []
        self._counts: list[Floats] = []
        self._sums: tuple[list[Floats], list[Floats]] = ([], [])

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        targets = _tokens(labels)
        self._examples.append(targets.examples)
        self._counts.append((targets.tokens != IGNORED).sum(1).astype(np.float64))
        for logits, sums in zip((original, candidate), self._sums, strict=True):
            found = predict(logits, targets.tokens, Task.LANGUAGE_MODELING)
            sums.append(_summed(found.rows, found.nll, len(targets.tokens)))

    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        _, documents = np.unique(np.concatenate(self._examples), return_inverse=True)
        tokens, original, candidate = (
            _summed(documents, np.concatenate(parts), int(documents.max()) + 1) for parts in (self._counts, *self._sums)
        )
        mean = mean_nll(original, candidate, tokens)

        def perplexity(indices: Indices) -> Floats:
            return np.exp(np.minimum(mean(indices), MOST_NATS))

        statistics = ((Metric.PERPLEXITY, perplexity), (Metric.NLL, mean))
        return [compare_by_bootstrap(metric, both, len(tokens), confidence, seed) for metric, both in statistics]


def mean_nll(original: Floats, candidate: Floats, tokens: Floats) -> Statistic:
    """Nats per token of resampled documents: a ratio of sums, their tokens' log-likelihoods over their token counts."""

    def both(indices: Indices) -> Floats:
        count = tokens[indices].sum(-1)
        return np.stack([original[indices].sum(-1) / count, candidate[indices].sum(-1) / count])

    return both


class ContinuationScorer(Scorer):
    """The most likely of an example's choices, by the sum over its tokens and by that sum per character.

    An example with one continuation is right if each of its tokens is the model's most likely token (the last word of
    LAMBADA, Paperno et al. 2016). A few numbers per row are kept in memory.
    """

    def __init__(self) -> None:
        self._targets: list[TokenTargets] = []
        self._nll: tuple[list[Floats], list[Floats]] = ([], [])
        self._greedy: tuple[list[Bools], list[Bools]] = ([], [])
        self._changed: list[Bools] = []

    def add(self, original: Array, candidate: Array, labels: Labels) -> None:
        targets = _tokens(labels)
        self._targets.append(targets)
        rows = len(targets.tokens)
        both = [predict(logits, targets.tokens, Task.MULTIPLE_CHOICE) for logits in (original, candidate)]
        for found, nll, greedy in zip(both, self._nll, self._greedy, strict=True):
            nll.append(_summed(found.rows, found.nll, rows))
            greedy.append(np.bincount(found.rows, ~found.right, rows) == 0)
        differs = both[0].likeliest != both[1].likeliest
        self._changed.append(np.bincount(both[0].rows, differs, rows) > 0)

    def comparisons(self, confidence: float, seed: int) -> list[MetricComparison]:
        metrics = (Metric.LAST_WORD, Metric.ACCURACY, Metric.ACCURACY_PER_CHARACTER)
        shares = (self.share(metric, confidence) for metric in metrics)
        return [share for share in shares if share is not None]

    def right(self, metric: Metric) -> tuple[Bools, Bools] | None:
        if self._by_choice == (metric is Metric.LAST_WORD):
            return None
        if not self._by_choice:
            return np.concatenate(self._greedy[0]), np.concatenate(self._greedy[1])
        right, per_character = self._all("right").astype(bool), metric is Metric.ACCURACY_PER_CHARACTER
        before, after = (right[self._chosen(side, per_character=per_character)] for side in (0, 1))
        return before, after

    def flips(self) -> Flips:
        if self._by_choice:
            before, after = self._chosen(0), self._chosen(1)
            right = self._all("right").astype(bool)
            return _flips(right[before], right[after], before != after)
        original, candidate = (np.concatenate(parts) for parts in self._greedy)
        return _flips(original, candidate, np.concatenate(self._changed))

    @property
    def _by_choice(self) -> bool:
        return bool(self._all("choices").any())

    def _all(self, field: Literal["examples", "choices", "characters", "right"]) -> Array:
        return np.concatenate([getattr(targets, field) for targets in self._targets])

    def _chosen(self, side: int, *, per_character: bool = False) -> NDArray[np.int64]:
        """The row of each example's most likely choice, in the order of examples; the first in a tie."""
        nll, examples = np.concatenate(self._nll[side]), self._all("examples")
        if per_character:
            nll = nll / np.maximum(1, self._all("characters"))
        order = np.lexsort((self._all("choices"), nll, examples))
        _, firsts = np.unique(examples[order], return_index=True)
        return np.asarray(order[firsts], dtype=np.int64)


def _flips(original: Bools, candidate: Bools, changed: Bools) -> Flips:
    return Flips(
        both_right=int(np.sum(original & candidate)),
        both_wrong=int(np.sum(~original & ~candidate)),
        lost=int(np.sum(original & ~candidate)),
        won=int(np.sum(~original & candidate)),
        changed=int(np.sum(changed)),
    )
