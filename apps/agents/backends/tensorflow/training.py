"""Recovery training: a changed model relearns what it has lost from the member's own examples.

The loss is the task's, if there are labels, plus closeness to the original's outputs (knowledge distillation, Hinton et
al. 2015, https://arxiv.org/abs/1503.02531), which needs no labels. Norms keep their statistics and dropout is off: the
model is trained in the mode in which it will run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from apps.agents.backends.tensorflow.loading import keras_model
from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.techniques.base import Assignment

BATCH = 32
_SUMS_TO_ONE = 1e-3


def recover(
    changed: Any, original: Any, assignment: Assignment, context: Context, hold: Callable[[], None] | None = None
) -> int:
    """Train the Keras model `changed` in place, according to the parameters `epochs` and `learning_rate`.

    After each step, `hold` restores what training must not change. Returns the number of examples per epoch, 0 without
    epochs. Raises `TechniqueNotApplicable` if there are epochs but no examples to train on.
    """
    dataset, epochs = assignment.dataset, int(assignment.parameters["epochs"])
    if epochs == 0:
        return 0
    learner, teacher = (keras_model(model, Format.KERAS, "") for model in (changed, original))
    judged = judged_output(teacher.summary.outputs, dataset.spec.output).name
    step = _step(learner, teacher, float(assignment.parameters["learning_rate"]), judged, dataset.spec.task)
    seen = 0
    for epoch in range(epochs):
        seen = 0
        for feeds, labels in dataset.training(BATCH, assignment.seed + epoch):
            step(_tensors(teacher, feeds), _labels(labels, dataset.spec.task))
            if hold is not None:
                hold()
            seen += dataset.layout.rows(feeds)
        if not seen:
            reason = f"it should train for {epochs} epochs, but the data set has no examples to train on; set 0 epochs"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        context.progress((epoch + 1) / epochs, f"training again, epoch {epoch + 1} of {epochs}")
    return seen


def _step(
    changed: TensorFlowModel, original: TensorFlowModel, rate: float, judged: str, task: Task
) -> Callable[[Mapping[str, Any], Any], None]:
    optimizer = keras.optimizers.Adam(rate)
    weights = changed.keras.trainable_variables
    names = [spec.name for spec in original.summary.outputs if spec.dtype.startswith("float")]

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
    def step(tensors: Mapping[str, Any], labels: Any) -> None:
        wanted = original.call(tensors)
        with tf.GradientTape() as tape:
            given = changed.call(tensors)
            loss = tf.add_n([_distance(given[name], wanted[name]) for name in names])
            if labels is not None:
                loss += _task_loss(given[judged], labels, task, wanted[judged])
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        optimizer.apply(gradients, weights)

    return cast(Callable[[Mapping[str, Any], Any], None], step)


def _distance(given: Any, wanted: Any) -> Any:
    """Mean squared error relative to the wanted outputs' variance."""
    spread = tf.math.reduce_variance(wanted) + 1e-6
    return tf.reduce_mean(tf.square(given - wanted)) / spread


def _task_loss(given: Any, labels: Any, task: Task, wanted: Any) -> Any:
    if task is not Task.CLASSIFICATION:
        return tf.reduce_mean(tf.square(tf.reshape(given, tf.shape(labels)) - labels))
    sums = tf.reduce_sum(wanted, -1)
    likely = tf.reduce_all(wanted >= 0) & tf.reduce_all(tf.abs(sums - 1) < _SUMS_TO_ONE)
    of_probabilities = keras.losses.sparse_categorical_crossentropy(labels, given, from_logits=False)
    of_logits = keras.losses.sparse_categorical_crossentropy(labels, given, from_logits=True)
    return tf.reduce_mean(tf.where(likely, of_probabilities, of_logits))


def _tensors(model: TensorFlowModel, feeds: Mapping[str, Any]) -> dict[str, Any]:
    return {spec.name: tf.constant(feeds[spec.name], tf.as_dtype(spec.dtype)) for spec in model.summary.inputs}


def _labels(labels: Any, task: Task) -> Any:
    if labels is None or task not in (Task.CLASSIFICATION, Task.REGRESSION):
        return None
    return tf.constant(labels.astype(np.int64 if task is Task.CLASSIFICATION else np.float32))
