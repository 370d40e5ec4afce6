"""Tensors of Keras models for calibration examples: only what leads to them is run, one batch in memory at a time."""

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
    """Calibration examples, to be run through as often as it takes."""

    inputs: Sequence[TensorSpec]
    """Of the model, in its order."""
    batches: Callable[[int], Iterator[Feeds]]
    """Up to so many examples, in batches."""
    examples: int
    """How many are asked for."""

    def fewer(self, examples: int) -> Flow:
        """The first of them alone."""
        return replace(self, examples=min(examples, self.examples))

    def through(self, *wanted: tuple[Any, Sequence[Any]]) -> Iterator[list[list[Array]]]:
        """For each batch the symbolic tensors of each model, which must be its own."""
        parts = [keras.Model(model.inputs, list(tensors)) for model, tensors in wanted]
        for feeds in self.batches(self.examples):
            given = [tf.constant(feeds[spec.name], tf.as_dtype(spec.dtype)) for spec in self.inputs]
            yield [_arrays(part(given if len(given) > 1 else given[0], training=False)) for part in parts]


def _arrays(tensors: Any) -> list[Array]:
    flat = tensors if isinstance(tensors, list | tuple) else [tensors]
    return [np.asarray(one, np.float32) for one in flat]
