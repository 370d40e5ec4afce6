"""The training part as batches of arrays, and images shifted and mirrored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.datasets.loading import Dataset
from apps.agents.datasets.training_part import Indices
from apps.agents.techniques.training.places import Places, training_part_of

Arrays = Mapping[str, NDArray[np.generic]]
PICTURE_CHANNELS = (1, 3)
SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Batch:
    arrays: Arrays
    """By the names of the model's inputs."""
    labels: Any
    """`None` if the data set has none."""
    places: Indices
    """Places of the examples in the training part."""


@dataclass(frozen=True)
class Examples(Places):
    """Batches of the training part."""

    def batch(self, step: int) -> Batch:
        """The batch of this step."""
        return self._taken(self.of_step(step))

    def checks(self) -> Iterator[Batch]:
        """The held-out examples."""
        for places in self.of_checks():
            yield self._taken(places)

    def _taken(self, places: Indices) -> Batch:
        arrays, labels = self.part.take(self.part.indices[places])
        return Batch(arrays, labels, places)


def examples_of(dataset: Dataset, model: TensorFlowModel, batch_size: int, seed: int, label: str) -> Examples:
    """The training part of `dataset`, in batches that `model` accepts. Raises what `training_part_of` raises."""
    part, fixed = training_part_of(dataset, label), dataset.layout.fixed_batch(model.summary.inputs)
    return Examples(part, fixed or dataset.affordable_batch(batch_size), seed, fixed is not None)


def augmented(batch: Batch, shift: int, *, mirror: bool, seed: tuple[int, int]) -> Batch:
    """The same batch with its images changed at random; other arrays stay the same."""
    random = np.random.default_rng(seed)
    changed = {
        name: _changed(array, shift, mirror, random) if is_picture(array) else array
        for name, array in batch.arrays.items()
    }
    return replace(batch, arrays=changed)


def is_picture(array: NDArray[np.generic]) -> bool:
    """Whether it is a batch of images [N, height, width, channels], grey or in colour."""
    return (
        array.dtype.kind == "f"
        and array.ndim == 4
        and array.shape[3] in PICTURE_CHANNELS
        and min(array.shape[1:3]) >= SMALLEST_SIDE
    )


def _changed(
    pictures: NDArray[np.generic], shift: int, mirror: bool, random: np.random.Generator
) -> NDArray[np.generic]:
    if mirror:
        chosen = random.random((len(pictures), 1, 1, 1)) < 0.5
        pictures = np.where(chosen, pictures[:, :, ::-1], pictures)
    if shift:
        top, left = random.integers(0, 2 * shift + 1, 2)
        height, width = pictures.shape[1:3]
        # The border is repeated: in normalized images, zero is a colour like any other.
        padded = np.pad(pictures, [(0, 0), (shift, shift), (shift, shift), (0, 0)], mode="edge")
        pictures = padded[:, top : top + height, left : left + width]
    return pictures
