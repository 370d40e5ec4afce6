"""The batch axis of each array that a model takes. Usually it is the first axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.reports.model import TensorSpec

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class Layout:
    """`axes` has the batch axis of each input for which it is not the first, and `None` for an input that all share."""

    axes: Mapping[str, int | None] = field(default_factory=dict)

    def axis(self, name: str) -> int | None:
        return self.axes.get(name, 0)

    def rows(self, feeds: Feeds) -> int:
        """The number of examples in a batch."""
        lengths = {}
        for name, array in feeds.items():
            if (axis := self._in(name, array)) is not None:
                lengths[name] = array.shape[axis]
        return max(lengths.values(), default=1)

    def take(self, feeds: Feeds, chosen: Sequence[int] | NDArray[np.int64]) -> dict[str, Array]:
        """The `chosen` examples of a batch. Inputs that all examples share are unchanged."""
        found = {}
        for name, array in feeds.items():
            axis = self._in(name, array)
            found[name] = array if axis is None else np.ascontiguousarray(np.take(array, chosen, axis=axis))
        return found

    def fixed_batch(self, inputs: Sequence[TensorSpec]) -> int | None:
        """The batch size that the model was exported with; `None` if its batch axis is dynamic."""
        for spec in inputs:
            axis = self.axis(spec.name)
            if axis is not None and axis < len(spec.shape) and isinstance(length := spec.shape[axis], int):
                return length
        return None

    def _in(self, name: str, array: Array) -> int | None:
        axis = self.axis(name)
        return axis if axis is not None and axis < array.ndim else None


FIRST = Layout()
"""The first axis is the batch axis of every input."""
