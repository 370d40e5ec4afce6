"""Common mistakes in the preparation of inputs, each with the change that would correct it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Feeds = dict[str, Array]
Floats = NDArray[np.float64]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
ABOUT_ONE = 1.5
"""Inputs whose values stay below this are assumed to go up to 1, others up to 255."""


@dataclass(frozen=True)
class InputChange:
    """A change of inputs. `sentence` is the beginning of a sentence about its effect on the model's predictions."""

    sentence: str
    change: Callable[[Floats], Floats]
    names: frozenset[str]

    def apply(self, feeds: Mapping[str, Array]) -> Feeds:
        """The feeds with the inputs `names` changed. Each keeps its type."""
        return {
            name: self.change(array.astype(np.float64)).astype(array.dtype) if name in self.names else array
            for name, array in feeds.items()
        }


def input_changes(feeds: Mapping[str, Array]) -> Iterator[InputChange]:
    """The possible mistakes in inputs like `feeds`; none if no input is floating-point."""
    arrays = {name: array.astype(np.float64) for name, array in feeds.items() if array.dtype.kind == "f" and array.size}
    if not arrays:
        return
    names = frozenset(arrays)
    lowest, highest = min(float(array.min()) for array in arrays.values()), max(float(a.max()) for a in arrays.values())
    for sentence, change in _scales(lowest, highest):
        yield InputChange(sentence, change, names)
    tables = {name: array for name, array in arrays.items() if array.ndim == 2}
    if tables:
        yield InputChange("With each feature standardized", _standardized, frozenset(tables))
    pictures = frozenset(name for name, array in arrays.items() if _channels(array.shape) is not None)
    if pictures:
        yield from (InputChange(sentence, change, pictures) for sentence, change in _colours(highest))


def _scales(lowest: float, highest: float) -> Iterator[tuple[str, Callable[[Floats], Floats]]]:
    yield "With inputs 255 times smaller", lambda x: x / 255
    yield "With inputs 255 times larger", lambda x: x * 255
    if lowest < 0:
        yield "With inputs from 0 to 1 instead of -1 to 1", lambda x: (x + 1) / 2
        yield "With inputs from 0 to 255 instead of -1 to 1", lambda x: (x + 1) * 127.5
        return
    top = 1.0 if highest <= ABOUT_ONE else 255.0
    yield f"With inputs from -1 to 1 instead of 0 to {top:.0f}", lambda x: x / (top / 2) - 1
    yield "With black and white exchanged", lambda x: top - x


def _standardized(x: Floats) -> Floats:
    spread = x.std(0)
    return np.asarray((x - x.mean(0)) / np.where(spread > 0, spread, 1))


def _channels(shape: tuple[int, ...]) -> int | None:
    """The axis of the three colours in a batch of images, if there is one."""
    return next((axis for axis in (1, 3) if len(shape) == 4 and shape[axis] == 3), None)


def _colours(highest: float) -> Iterator[tuple[str, Callable[[Floats], Floats]]]:
    top = 1.0 if highest <= ABOUT_ONE else 255.0
    yield "With ImageNet's mean and standard deviation taken out", lambda x: _normalized(x / top)
    yield "With red and blue exchanged", lambda x: np.flip(x, _channels(x.shape) or 1)


def _normalized(x: Floats) -> Floats:
    shape = [1] * x.ndim
    shape[_channels(x.shape) or 1] = 3
    return np.asarray((x - np.reshape(IMAGENET_MEAN, shape)) / np.reshape(IMAGENET_STD, shape))
