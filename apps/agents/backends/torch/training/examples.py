"""The training part as batches of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.dataset_spec import TASKS_OF_TEXTS_ALONE
from apps.agents.contracts.text import IGNORED
from apps.agents.datasets.loading import Dataset
from apps.agents.datasets.targets import TokenTargets
from apps.agents.datasets.training_part import Indices
from apps.agents.techniques.training.places import Places, training_part_of

MOST_WINDOWS = 64
"""Of texts, held out: each has hundreds of tokens to predict."""


@dataclass(frozen=True)
class Batch:
    """What one pass of the model takes."""

    tensors: dict[str, torch.Tensor]
    """By the names of the model's inputs."""
    labels: torch.Tensor | None
    """Of tokens to predict [rows, tokens], `IGNORED` where none is."""
    counted: int
    """What its loss is a mean over: examples, or tokens to predict."""
    places: Indices
    """Places of the examples in the training part."""


@dataclass(frozen=True)
class Examples(Places):
    """Batches for `model` on `device`."""

    model: TorchModel
    device: str
    windows: bool = False
    """Whether an example is a window of tokens to predict."""
    at_once: int = 0
    """The most examples that one pass of the model takes; 0 for all of a batch."""

    @property
    def most_held_out(self) -> int:
        return MOST_WINDOWS if self.windows else super().most_held_out

    def portions(self, step: int) -> list[Batch]:
        """The batch of this step, in portions that one pass takes. Their gradients are added up."""
        return [self._taken(places) for places in self._portioned(self.of_step(step))]

    def checks(self) -> Iterator[Batch]:
        """The held-out examples."""
        for batch in self.of_checks():
            yield from (self._taken(places) for places in self._portioned(batch))

    def _portioned(self, places: Indices) -> Iterator[Indices]:
        size = self.at_once or len(places)
        for start in range(0, len(places), size):
            yield places[start : start + size]

    def _taken(self, places: Indices) -> Batch:
        feeds, labels = self.part.take(self.part.indices[places])
        tensors = self.model.tensors(feeds, self.device)
        counted = int((labels.tokens != IGNORED).sum()) if isinstance(labels, TokenTargets) else len(places)
        return Batch(tensors, _tensor(labels, self.device), counted, places)


def examples_of(
    dataset: Dataset, model: TorchModel, batch_size: int, seed: int, device: str, label: str, divisor: int = 1
) -> Examples:
    """The training part of `dataset`, in batches that `model` accepts. Raises what `training_part_of` raises.

    `divisor` makes what the model takes at once smaller. A batch of windows keeps its size then, and is taken in more
    portions; any other batch becomes smaller.
    """
    part, fixed = training_part_of(dataset, label), dataset.layout.fixed_batch(model.summary.inputs)
    windows = dataset.spec.task in TASKS_OF_TEXTS_ALONE
    if fixed is None and windows:
        at_once = max(1, dataset.affordable_batch(batch_size) // divisor)
        return Examples(part, batch_size, seed, False, model, device, windows, at_once)
    size = fixed or dataset.affordable_batch(max(1, batch_size // divisor))
    return Examples(part, size, seed, fixed is not None, model, device, windows)


def _tensor(labels: Any, device: str) -> torch.Tensor | None:
    if labels is None:
        return None
    return torch.from_numpy(np.array(labels.tokens if isinstance(labels, TokenTargets) else labels)).to(device)
