"""What techniques for TensorFlow models share: the loaded model, and how libraries are called."""

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
"""What is left of equality over the calibration examples: other kernels add float32 in another order."""
STATEFUL = "it keeps a state from one call to the next (a stateful layer), and an exported graph holds constants alone"
"""What converters mean when they stumble over a variable that is written to."""


@contextmanager
def library_words(label: str, reason_of: Callable[[Exception], str] = words_of) -> Iterator[None]:
    """TensorFlow and what converts its models, at work for the technique `label`."""
    with library_at_work(label, reason_of, out_of_memory=(tf.errors.ResourceExhaustedError,)):
        yield


class TensorFlowTechnique(BaseOptimizationAgent):
    """One that starts from a model in memory."""

    def opened(self, assignment: Assignment) -> TensorFlowModel:
        """The assignment's model, loaded."""
        use_threads(assignment.threads)
        return load_opened(open_model(assignment.model, assignment.scratch), assignment.signature)


class TensorFlowExport(TensorFlowTechnique):
    """One that makes the same float network for another runtime, and hands over nothing that computes anything else."""

    lowest_sqnr_db = SAME_DB
