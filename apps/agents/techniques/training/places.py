"""Which examples of the training part each step uses; it depends on the seed and the step's number only.

A tenth of the part is held out to decide when to stop. The validation part ranks candidates, so it is not used here:
weights chosen on it would rank higher than they deserve.
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
    """Whether the model accepts batches of that size only."""

    @property
    def most_held_out(self) -> int:
        """The most examples that are held out."""
        return MOST_HELD_OUT

    @cached_property
    def held_out(self) -> Indices:
        """Places of the first examples of the part, which are spread evenly over the classes."""
        wanted = min(self.most_held_out, int(len(self.part.indices) * HELD_OUT_SHARE))
        return np.arange(max(wanted, self.batch_size if self.fixed else 1))

    @cached_property
    def learned(self) -> Indices:
        """The places of all other examples."""
        return np.arange(len(self.held_out), len(self.part.indices))

    @property
    def batches_a_pass(self) -> int:
        """The number of full batches in one pass. The remainder is skipped."""
        return max(1, len(self.learned) // self.batch_size)

    def of_step(self, step: int) -> Indices:
        """The places of this step's batch. Every pass goes through the examples in a different order."""
        number, place = divmod(step, self.batches_a_pass)
        order = _order(self.seed, number, len(self.held_out), len(self.part.indices))
        rest = np.resize(order, max(len(order), self.batch_size))[place * self.batch_size :]
        return np.asarray(rest[: self.batch_size], np.int64)

    def of_checks(self) -> Iterator[Indices]:
        """The held-out examples in batches. If the model's batch is fixed, the remainder is skipped."""
        last = len(self.held_out) - (self.batch_size if self.fixed else 1)
        for start in range(0, last + 1, self.batch_size):
            yield self.held_out[start : start + self.batch_size]


@lru_cache(maxsize=2)
def _order(seed: int, number: int, first: int, end: int) -> Indices:
    """Places `first` to `end` in the order of pass `number`, drawn once per pass."""
    return np.random.default_rng((seed, number)).permutation(np.arange(first, end))


def training_part_of(dataset: Dataset, label: str) -> TrainingPart:
    """The part to learn and check on. Raises `TrainingPartMissing` if it has fewer than `FEWEST` examples."""
    part = dataset.training_part
    if part is None or len(part.indices) < FEWEST:
        raise TrainingPartMissing(technique=label)
    return part
