"""The training part as batches of tensors, each drawn from the seed and its number alone.

A tenth of the part is held out to say when to stop. The validation part, on which candidates are ranked, is left alone:
weights that were picked on it would rank higher than they deserve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch

from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.errors.training import TrainingPartMissing
from apps.agents.datasets.loading import Dataset
from apps.agents.datasets.training_part import Indices, TrainingPart

HELD_OUT_SHARE = 0.1
MOST_HELD_OUT = 512
FEWEST = 2


@dataclass(frozen=True)
class Batch:
    tensors: dict[str, torch.Tensor]
    """By the model's inputs."""
    labels: torch.Tensor | None
    examples: int
    places: Indices
    """Of the examples in the training part."""


@dataclass(frozen=True)
class Examples:
    """Batches of `batch_size` examples for `model` on `device`."""

    part: TrainingPart
    model: TorchModel
    batch_size: int
    seed: int
    device: str
    fixed: bool = False
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

    def batch(self, step: int) -> Batch:
        """The batch of this step. Every pass goes through the examples in another order."""
        number, place = divmod(step, self.batches_a_pass)
        order = _order(self.seed, number, len(self.held_out), len(self.part.indices))
        return self._taken(np.resize(order, max(len(order), self.batch_size))[place * self.batch_size :])

    def checks(self) -> Iterator[Batch]:
        """The held-out examples; what does not fill a batch of a model whose batch is fixed is left out."""
        last = len(self.held_out) - (self.batch_size if self.fixed else 1)
        for start in range(0, last + 1, self.batch_size):
            yield self._taken(self.held_out[start:])

    def _taken(self, places: Indices) -> Batch:
        chosen = places[: self.batch_size]
        feeds, labels = self.part.take(self.part.indices[chosen])
        tensors = self.model.tensors(feeds, self.device)
        return Batch(tensors, _tensor(labels, self.device), len(chosen), chosen)


def training_part_of(dataset: Dataset, label: str) -> TrainingPart:
    """Raises `TrainingPartMissing`, in the name of the technique `label`, where there is none to learn and check on."""
    part = dataset.training_part
    if part is None or len(part.indices) < FEWEST:
        raise TrainingPartMissing(technique=label)
    return part


def examples_of(dataset: Dataset, model: TorchModel, batch_size: int, seed: int, device: str, label: str) -> Examples:
    """The training part of `dataset`, in batches that `model` takes. Raises what `training_part_of` raises."""
    part, fixed = training_part_of(dataset, label), dataset.layout.fixed_batch(model.summary.inputs)
    size = fixed or dataset.affordable_batch(batch_size)
    return Examples(part, model, size, seed, device, fixed is not None)


@lru_cache(maxsize=2)
def _order(seed: int, number: int, first: int, end: int) -> Indices:
    """Places `first` to `end` in the order of pass `number`, drawn once a pass."""
    return np.random.default_rng((seed, number)).permutation(np.arange(first, end))


def _tensor(labels: Any, device: str) -> torch.Tensor | None:
    return None if labels is None else torch.from_numpy(np.array(labels)).to(device)
