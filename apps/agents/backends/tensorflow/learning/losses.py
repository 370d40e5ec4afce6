"""What training minimizes: the loss on the labels, and the distance to the original's outputs.

Soft labels follow Hinton et al. 2015, https://arxiv.org/abs/1503.02531: both models' logits are divided by a
temperature, and the loss is multiplied by its square, so that its gradients keep their size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from apps.agents.contracts.reports.dataset import Task

_SUMS_TO_ONE = 1e-3
_TINY = 1e-7


@dataclass(frozen=True)
class Loss:
    """The loss of one batch, from the labels and the outputs, by name, of the model in training and of the original."""

    task: Task
    judged: str
    """The output that predictions are read from."""
    distill: float
    """Weight of the distance to the original's outputs, 0 to 1."""
    temperature: float
    reads_labels: bool
    """Whether there are labels that are targets for the judged output."""
    probabilities: bool = False
    """Whether the judged output contains probabilities instead of logits."""

    @property
    def needs_original(self) -> bool:
        return self.distill > 0 or not self.reads_labels

    def __call__(self, given: Mapping[str, Any], wanted: Mapping[str, Any], labels: Any) -> Any:
        """The mean over the batch, a scalar tensor. `wanted` is empty if the original is not needed."""
        if not self.reads_labels or self.distill >= 1:
            return self._distance(given, wanted)
        hard = self._hard(given[self.judged], labels)
        if self.distill <= 0:
            return hard
        return (1 - self.distill) * hard + self.distill * self._distance(given, wanted)

    def _hard(self, output: Any, labels: Any) -> Any:
        if self.task is not Task.CLASSIFICATION:
            if self.task is Task.EMBEDDING:
                return _angle(output, tf.cast(labels, output.dtype))
            return tf.reduce_mean(tf.square(tf.reshape(output, tf.shape(labels)) - tf.cast(labels, output.dtype)))
        logits = self._logits(_rows(output))
        if logits.shape[1] == 1:
            ones = tf.cast(labels, logits.dtype)
            return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(ones, logits[:, 0]))
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int64), logits))

    def _distance(self, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> Any:
        one, other = given[self.judged], wanted[self.judged]
        if self.task is Task.CLASSIFICATION and _rows(other).shape[1] > 1:
            return self._soft(one, other)
        if self.task is Task.EMBEDDING:
            return _angle(one, other)
        if self.task is Task.REGRESSION:
            return tf.reduce_mean(tf.square(one - other))
        return tf.add_n([_relative(given[name], wanted[name]) for name in wanted])

    def _soft(self, given: Any, wanted: Any) -> Any:
        student = tf.nn.log_softmax(self._logits(_rows(given)) / self.temperature)
        teacher = tf.nn.log_softmax(self._logits(_rows(wanted)) / self.temperature)
        divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=1)
        return tf.reduce_mean(divergence) * self.temperature**2

    def _logits(self, output: Any) -> Any:
        """Logits with the same softmax as the probabilities: their logarithms, or the log odds of a single one."""
        if not self.probabilities:
            return output
        safe = tf.clip_by_value(output, _TINY, 1 - _TINY)
        return tf.math.log(safe) if output.shape[1] > 1 else tf.math.log(safe / (1 - safe))


def says(task: Task, output: NDArray[np.generic], labels: Any) -> bool:
    """Whether the labels are targets for this output."""
    if labels is None:
        return False
    match task:
        case Task.CLASSIFICATION:
            return bool(np.ndim(labels) == 1 and len(output) == len(labels))
        case Task.REGRESSION:
            return bool(output.size == np.size(labels))
        case Task.EMBEDDING:
            return bool(output.shape == np.shape(labels))
        case _:
            return False


def are_probabilities(output: NDArray[np.generic]) -> bool:
    """Whether every row of [N, …] adds up to 1; a row of one number must lie between 0 and 1."""
    rows = output.astype(np.float32).reshape(len(output), -1)
    within = bool(((rows >= 0) & (rows <= 1)).all())
    return within and (rows.shape[1] == 1 or bool((np.abs(rows.sum(1) - 1) < _SUMS_TO_ONE).all()))


def _rows(output: Any) -> Any:
    """[N, numbers]."""
    width = int(np.prod([int(axis) for axis in output.shape[1:]]))
    return tf.cast(tf.reshape(output, [-1, width]), tf.float32)


def _angle(given: Any, wanted: Any) -> Any:
    """1 minus the mean cosine."""
    units = [tf.math.l2_normalize(tf.cast(one, tf.float32), axis=-1) for one in (given, wanted)]
    return 1 - tf.reduce_mean(tf.reduce_sum(units[0] * units[1], axis=-1))


def _relative(given: Any, wanted: Any) -> Any:
    """The mean squared error as a share of the wanted output's variance."""
    return tf.reduce_mean(tf.square(given - wanted)) / (tf.math.reduce_variance(wanted) + _TINY)
