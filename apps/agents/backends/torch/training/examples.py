"""The training part as batches of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from apps.agents.backends.torch.model import TorchModel
from apps.agents.datasets.loading import Dataset
from apps.agents.datasets.training_part import Indices
from apps.agents.techniques.training.places import Places, training_part_of


@dataclass(frozen=True)
class Batch:
    tensors: dict[str, torch.Tensor]
    """By the names of the model's inputs."""
    labels: torch.Tensor | None
    examples: int
    places: Indices
    """Places of the examples in the training part."""


@dataclass(frozen=True)
class Examples(Places):
    """Batches for `model` on `device`."""

    model: TorchModel
    device: str

    def batch(self, step: int) -> Batch:
        """The batch of this step."""
        return self._taken(self.of_step(step))

    def checks(self) -> Iterator[Batch]:
        """The held-out examples."""
        for places in self.of_checks():
            yield self._taken(places)

    def _taken(self, places: Indices) -> Batch:
        feeds, labels = self.part.take(self.part.indices[places])
        tensors = self.model.tensors(feeds, self.device)
        return Batch(tensors, _tensor(labels, self.device), len(places), places)


def examples_of(dataset: Dataset, model: TorchModel, batch_size: int, seed: int, device: str, label: str) -> Examples:
    """The training part of `dataset`, in batches that `model` accepts. Raises what `training_part_of` raises."""
    part, fixed = training_part_of(dataset, label), dataset.layout.fixed_batch(model.summary.inputs)
    size = fixed or dataset.affordable_batch(batch_size)
    return Examples(part, size, seed, fixed is not None, model, device)


def _tensor(labels: Any, device: str) -> torch.Tensor | None:
    return None if labels is None else torch.from_numpy(np.array(labels)).to(device)
