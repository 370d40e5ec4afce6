"""Computes tensors of Keras models on calibration examples, running only what leads to them, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.measuring.engine import Feeds

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Flow:
    """Calibration examples that can be run through any number of times."""

    inputs: Sequence[TensorSpec]
    """The model's inputs, in its order."""
    batches: Callable[[int], Iterator[Feeds]]
    """Up to a number of examples, in batches."""
    examples: int
    """The number of examples to use."""

    def fewer(self, examples: int) -> Flow:
        """The same with only the first examples."""
        return replace(self, examples=min(examples, self.examples))

    def through(self, *wanted: tuple[Any, Sequence[Any]]) -> Iterator[list[list[Array]]]:
        """For each batch, the values of symbolic tensors of each model."""
        parts = [keras.Model(model.inputs, list(tensors)) for model, tensors in wanted]
        for feeds in self.batches(self.examples):
            given = [tf.constant(feeds[spec.name], tf.as_dtype(spec.dtype)) for spec in self.inputs]
            yield [_arrays(part(given if len(given) > 1 else given[0], training=False)) for part in parts]


def _arrays(tensors: Any) -> list[Array]:
    flat = tensors if isinstance(tensors, list | tuple) else [tensors]
    return [np.asarray(one, np.float32) for one in flat]
