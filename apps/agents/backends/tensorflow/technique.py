"""Shared by the techniques for TensorFlow models: the loaded model, and calls of libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf

from apps.agents.backends.tensorflow.engine import use_threads
from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.techniques.base import Assignment, BaseOptimizationAgent
from apps.agents.techniques.library_calls import library_at_work, words_of

SAME_DB = 60.0
"""Agreement over the calibration examples that counts as equal: other kernels add float32 in another order."""
STATEFUL = "it keeps state between calls (a stateful layer), but an exported graph contains only constants"
"""The cause if converters fail at a variable that is written to."""


@contextmanager
def library_words(label: str, reason_of: Callable[[Exception], str] = words_of) -> Iterator[None]:
    """Run TensorFlow or a converter for the technique `label`, and translate its exceptions."""
    with library_at_work(label, reason_of, out_of_memory=(tf.errors.ResourceExhaustedError,)):
        yield


class TensorFlowTechnique(BaseOptimizationAgent):
    """A technique that starts from a model in memory."""

    def opened(self, assignment: Assignment) -> TensorFlowModel:
        """The assignment's model, loaded."""
        use_threads(assignment.threads)
        return load_opened(open_model(assignment.model, assignment.scratch), assignment.signature)


class TensorFlowExport(TensorFlowTechnique):
    """Makes the same float network for another runtime, and delivers only a result that computes the same."""

    lowest_sqnr_db = SAME_DB
