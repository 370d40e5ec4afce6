"""Which examples of the training part each step takes, drawn from the seed and the step's number alone.

A tenth of the part is held out to say when to stop. The validation part, on which candidates are ranked, is left alone:
weights that were picked on it would rank higher than they deserve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from apps.agents.contracts.errors.training import TrainingPartMissing
from apps.agents.datasets.loading import Dataset
from apps.agents.datasets.training_part import Indices, TrainingPart

HELD_OUT_SHARE = 0.1
MOST_HELD_OUT = 512
FEWEST = 2


@dataclass(frozen=True)
class Places:
    """Places in `part`, in batches of `batch_size`."""

    part: TrainingPart
    batch_size: int
    seed: int
    fixed: bool
    """Whether the model takes batches of that size only."""

    @cached_property
    def held_out(self) -> Indices:
        """Places of the first of the part, which are spread evenly over the classes."""
        wanted = min(MOST_HELD_OUT, int(len(self.part.indices) * HELD_OUT_SHARE))
        return np.arange(max(wanted, self.batch_size if self.fixed else 1))

    @cached_property
    def learned(self) -> Indices:
        """All others."""
        return np.arange(len(self.held_out), len(self.part.indices))

    @property
    def batches_a_pass(self) -> int:
        """Full batches of one pass: what is left over at its end is left out."""
        return max(1, len(self.learned) // self.batch_size)

    def of_step(self, step: int) -> Indices:
        """The batch of this step. Every pass goes through the examples in another order."""
        number, place = divmod(step, self.batches_a_pass)
        order = _order(self.seed, number, len(self.held_out), len(self.part.indices))
        rest = np.resize(order, max(len(order), self.batch_size))[place * self.batch_size :]
        return np.asarray(rest[: self.batch_size], np.int64)

    def of_checks(self) -> Iterator[Indices]:
        """The held-out examples; what does not fill a batch of a model whose batch is fixed is left out."""
        last = len(self.held_out) - (self.batch_size if self.fixed else 1)
        for start in range(0, last + 1, self.batch_size):
            yield self.held_out[start : start + self.batch_size]


@lru_cache(maxsize=2)
def _order(seed: int, number: int, first: int, end: int) -> Indices:
    """Places `first` to `end` in the order of pass `number`, drawn once a pass."""
    return np.random.default_rng((seed, number)).permutation(np.arange(first, end))


def training_part_of(dataset: Dataset, label: str) -> TrainingPart:
    """Raises `TrainingPartMissing`, in the name of the technique `label`, where there is none to learn and check on."""
    part = dataset.training_part
    if part is None or len(part.indices) < FEWEST:
        raise TrainingPartMissing(technique=label)
    return part
