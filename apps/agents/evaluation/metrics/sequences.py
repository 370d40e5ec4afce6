"""Sequence agreement: how alike the classes of both models' outputs `[N, T, C]` are after greedy decoding.

The original's sequence is the truth. The agreement of an example is one minus the edit distance (Levenshtein, Soviet
Physics Doklady 10 (1966)) over the length of the longer sequence. Greedy decoding takes the best class at each step.
With a blank, repeats are merged and the blank is removed, as in connectionist temporal classification (Graves,
Fernández, Gomez and Schmidhuber, ICML 2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.evaluation.metrics.comparing import Array, compare_by_bootstrap, means_of, times
from apps.agents.measuring.statistics.intervals import Floats, share_of_mean

Steps = NDArray[np.int64]

FEW_CHANGED = 10
"""With fewer changed sequences, resampling says little about how rare changes vary."""


def looks_like_sequences(shape: Sequence[int]) -> bool:
    """Whether an output `[batch, …]` is one score for each of at least two classes at each step."""
    return len(shape) == 3 and shape[2] > 1


class SequenceMeter:
    """Decodes the outputs of both models. It keeps one number per example.

    `blank`: the class that CTC removes; −1 is the last one. `padded`: steps at which the original's scores are all 0
    are padding.
    """

    def __init__(self, blank: int | None = None, *, padded: bool = False) -> None:
        self._blank, self._padded = blank, padded
        self._losses: list[Floats] = []

    def add(self, original: Array, candidate: Array) -> None:
        """Add outputs `[N, T, C]`. Raises `OutputUnfit` if the blank is not one of their classes."""
        classes = original.shape[2]
        if self._blank is not None and self._blank >= classes:
            reason = f"the blank is class {self._blank}, but the output has {classes} classes, counted from 0"
            raise OutputUnfit(output="0", shape=list(original.shape), task=Task.FIDELITY, reason=reason)
        blank = classes - 1 if self._blank == -1 else self._blank
        both = [output.argmax(2).astype(np.int64) for output in (original, candidate)]
        shown = (original != 0).any(axis=2) if self._padded else np.ones(original.shape[:2], bool)
        pairs = zip(*both, shown, strict=True)
        losses = [distance(*(decoded(steps[keep], blank) for steps in (one, other))) for one, other, keep in pairs]
        self._losses.append(np.asarray(losses, dtype=np.float64))

    def losses(self) -> Floats:
        """What each example adds to the drop, in points."""
        return 100.0 * np.concatenate(self._losses)

    def comparison(self, confidence: float, seed: int) -> MetricComparison:
        """The mean over examples, with a bootstrap interval.

        If few sequences changed, the upper end of the drop is at least that of a share with this mean: a number from 0
        to 1 varies at most as much as one that is 0 or 1.
        """
        losses = np.concatenate(self._losses)
        found = compare_by_bootstrap(
            Metric.SEQUENCE_AGREEMENT, means_of(np.ones_like(losses), 1 - losses), len(losses), confidence, seed
        )
        if np.count_nonzero(losses) >= FEW_CHANGED:
            return found
        most = times(share_of_mean(float(losses.mean()), len(losses), confidence), 100).high or 100.0
        high = max(most, found.drop.high or 0.0)
        candidate = found.candidate.model_copy(update={"low": min(100 - high, found.candidate.value)})
        drop = Estimate(value=found.drop.value, low=min(found.drop.low or 0.0, found.drop.value), high=high)
        return found.model_copy(update={"candidate": candidate, "drop": drop})


def decoded(steps: Steps, blank: int | None) -> Steps:
    """The sequence of the best classes `steps`. With a `blank`, repeats are merged and then the blank is removed."""
    if blank is None or not len(steps):
        return steps
    merged = steps[np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))]
    return np.asarray(merged[merged != blank], dtype=np.int64)


def distance(one: Steps, other: Steps) -> float:
    """The edit distance as a share of the longer sequence, 0 to 1; 0 for two empty sequences."""
    longest = max(len(one), len(other))
    return edits(one.tolist(), other.tolist()) / longest if longest else 0.0


def edits(one: Sequence[int], other: Sequence[int]) -> int:
    """The fewest insertions, deletions and replacements that turn one sequence into the other.

    Bit-parallel: one column of the table is two integers (Myers, Journal of the ACM 46 (1999); Hyyrö 2003).
    """
    if one == other:
        return 0
    if not one or not other:
        return max(len(one), len(other))
    places: dict[int, int] = {}
    for place, value in enumerate(one):
        places[value] = places.get(value, 0) | 1 << place
    everywhere, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    rises, falls, found = everywhere, 0, len(one)
    for value in other:
        equal = places.get(value, 0)
        vertical = equal | falls
        horizontal = (((equal & rises) + rises) ^ rises) | equal
        up = falls | ~(horizontal | rises) & everywhere
        down = rises & horizontal
        found += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & everywhere, (down << 1) & everywhere
        rises, falls = down | ~(vertical | up) & everywhere, up & vertical
    return found
