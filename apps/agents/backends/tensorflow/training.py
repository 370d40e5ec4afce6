"""Recovery training: what a changed model has lost is learned again from the member's own examples.

The loss is that of the task where there are labels, and closeness to the original's outputs always (knowledge
distillation, Hinton et al. 2015, https://arxiv.org/abs/1503.02531), which needs none. Norms keep their statistics and
nothing is dropped out: the model is trained as it will run.
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
    """Train the Keras model `changed` in place, as the parameters `epochs` and `learning_rate` say.

    `hold` puts back, after each step, what must not be learned away. Gives how many examples each epoch had, 0 for no
    epochs. Raises `TechniqueNotApplicable` where there are epochs and no examples to train on.
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
            reason = (
                f"it is to train for {epochs} epochs, and the data set has no examples to train on; ask for 0 epochs"
            )
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        context.progress((epoch + 1) / epochs, f"learning again, epoch {epoch + 1} of {epochs}")
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
    """Mean squared error as a share of the wanted outputs' variance."""
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
