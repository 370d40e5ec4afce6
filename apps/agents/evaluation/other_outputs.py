"""How far the outputs that are not judged are from the original's, on the same examples.

A model with two heads can keep the judged one and lose the other. Numbers are compared by the root of their mean
squared error as a share of the standard deviation of the original's output, which is √(1 − R²): 0 for equal outputs, 1
for outputs as good as the original's mean. Integers, truth values and texts are equal or not, which is an error of 0 or
1: the root of the share of values that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.contracts.reports.metrics import OutputComparison
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.evaluation.metrics.classification import class_scores, looks_like_classes
from apps.agents.evaluation.metrics.comparing import Array
from apps.agents.evaluation.metrics.fidelity import Spread, finite_pair, squared_errors
from apps.agents.measuring.statistics.intervals import Floats, Indices, bootstrap, share_of_mean


@dataclass
class _Output:
    """One output. It keeps one or two numbers per example."""

    name: str
    losses: list[Floats] = field(default_factory=list)
    """Each example's sum of squared errors, or its share of differing values."""
    same_top: list[Floats] = field(default_factory=list)
    spread: Spread = field(default_factory=Spread)
    exact: bool = False
    by_example: bool = True

    def add(self, original: Array, candidate: Array, mask: Array | None) -> None:
        self.exact = original.dtype.kind != "f"
        if self.exact:
            differs = original.reshape(len(original), -1) != candidate.reshape(len(candidate), -1)
            self.losses.append(np.asarray(differs, dtype=np.float64).mean(axis=1))
            return
        original, candidate = finite_pair(original, candidate)
        if looks_like_classes(original.shape):
            first, second = (class_scores(output).argmax(1) for output in (original, candidate))
            self.same_top.append((first == second).astype(np.float64))
        padded = mask is not None and original.ndim == 3 and original.shape[:2] == mask.shape
        if mask is not None and padded:
            shown = mask[:, :, np.newaxis].astype(bool)
            original, candidate = np.where(shown, original, 0), np.where(shown, candidate, 0)
        width = original.shape[-1] if padded else None
        self.losses.append(squared_errors(original, candidate, self.spread, width))

    def compared(self, confidence: float, seed: int) -> OutputComparison:
        losses = np.concatenate(self.losses)
        if not self.exact:
            losses = losses / self.spread.per_example(losses)
        mean = float(losses.mean())
        return OutputComparison(
            output=self.name,
            exact=self.exact,
            examples=len(losses),
            deviation=_root_of_share(losses, confidence) if self.exact else _root(losses, confidence, seed),
            r2=None if self.exact else 100 * (1 - mean),
            agreement=100 * float(np.concatenate(self.same_top).mean()) if self.same_top else None,
        )


class OtherOutputs:
    """Compares every output but the judged one."""

    def __init__(self, outputs: Sequence[TensorSpec], judged: int) -> None:
        self._outputs = {place: _Output(one.name) for place, one in enumerate(outputs) if place != judged}

    def add(self, original: Sequence[Array | None], candidate: Sequence[Array | None], mask: Array | None) -> None:
        """Add one batch of both models' outputs, of the same shapes, examples first. An output that is `None` has no
        entry per example, and is not compared. `mask` `[rows, tokens]` is 0 for padding, which counts as equal."""
        for place, output in self._outputs.items():
            one, other = original[place], candidate[place]
            if one is None or other is None:
                output.by_example = False
            elif output.by_example:
                output.add(one, other, mask)

    def compared(self, confidence: float, seed: int) -> tuple[OutputComparison, ...]:
        """Every output with an entry per example, the largest deviation first. The intervals hold for all of them at
        once."""
        known = [output for output in self._outputs.values() if output.by_example and output.losses]
        simultaneous = 1 - (1 - confidence) / max(1, len(known))
        found = [output.compared(simultaneous, seed) for output in known]
        return tuple(sorted(found, key=lambda one: -one.deviation.value))

    def not_compared(self) -> tuple[str, ...]:
        """A note if some outputs have no entry per example."""
        names = [output.name for output in self._outputs.values() if not output.by_example]
        if not names:
            return ()
        return (
            f"The limit on other outputs does not apply to {', '.join(names)}: without comparable entries per example, "
            "a deviation has no interval.",
        )


def _root_of_share(losses: Floats, confidence: float) -> Estimate:
    """The root of the mean of numbers from 0 to 1, with the roots of Wilson's interval."""
    share = share_of_mean(float(losses.mean()), len(losses), confidence)
    return Estimate(value=share.value**0.5, low=(share.low or 0.0) ** 0.5, high=(share.high or 0.0) ** 0.5)


def _root(losses: Floats, confidence: float, seed: int) -> Estimate:
    """The root of the mean of `losses`, with its bootstrap interval. With one example, the interval is unbounded."""
    value = float(losses.mean()) ** 0.5
    if not losses.any():
        return Estimate(value=0.0, low=0.0, high=0.0)
    if len(losses) < 2:
        return Estimate(value=value, low=0.0, high=UNKNOWN)

    def statistic(indices: Indices) -> Floats:
        return np.asarray(np.sqrt(losses[indices].mean(-1)))[np.newaxis]

    (found,), _ = bootstrap(statistic, len(losses), confidence, seed)
    return found
