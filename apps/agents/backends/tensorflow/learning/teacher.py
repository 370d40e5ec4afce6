"""The original as a teacher, which runs only once per example if its answers can be kept.

A pruned network is much faster than its original, so from the second pass on the teacher would take nearly all of the
time. Answers are kept if examples are not augmented. They are part of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apps.agents.backends.tensorflow.learning.examples import Arrays, Batch

Outputs = Mapping[str, NDArray[np.generic]]
MOST_KEPT_BYTES = 64 * 1024 * 1024
KNOWN = "/known"
"""The key under which known examples are marked. No output has this name."""


@dataclass
class Teacher:
    ask: Callable[[Arrays], Outputs]
    """The original's float outputs, by name."""
    examples: int
    """Number of examples in the training part. Answers are kept by place in it."""
    keeps: bool
    kept: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    """Answers [examples, …] by output, and `KNOWN` [examples]; empty before the first answer."""

    def outputs(self, batch: Batch) -> Outputs:
        """The original's outputs for a batch."""
        if not self.keeps:
            return self.ask(batch.arrays)
        if self.kept and self.kept[KNOWN][batch.places].all():
            return {name: array[batch.places] for name, array in self.kept.items() if name != KNOWN}
        answers = self.ask(batch.arrays)
        self._keep(batch, answers)
        return answers

    def _keep(self, batch: Batch, answers: Outputs) -> None:
        count = len(batch.places)
        numbers = sum(array[0].size for array in answers.values())
        if any(len(one) != count for one in answers.values()) or 4 * numbers * self.examples > MOST_KEPT_BYTES:
            self.keeps = False
            return
        if not self.kept:
            self.kept = {name: np.zeros((self.examples, *a.shape[1:]), a.dtype) for name, a in answers.items()}
            self.kept[KNOWN] = np.zeros(self.examples, bool)
        for name, array in answers.items():
            self.kept[name][batch.places] = array
        self.kept[KNOWN][batch.places] = True
