"""Recovery training of Keras models: regains what pruning or another change has cost, on the training part.

As for PyTorch (`apps.agents.backends.torch.recovery`), with the same trainer, parameters and losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from apps.agents.backends.tensorflow.engine import use_threads
from apps.agents.backends.tensorflow.keras_technique import keras_of
from apps.agents.backends.tensorflow.learning.examples import Arrays, Examples, examples_of
from apps.agents.backends.tensorflow.learning.learner import KerasLearner
from apps.agents.backends.tensorflow.learning.losses import Loss, are_probabilities, says
from apps.agents.backends.tensorflow.learning.teacher import Outputs, Teacher
from apps.agents.backends.tensorflow.loading import keras_model, load_opened
from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.backends.tensorflow.saving import save_keras
from apps.agents.backends.tensorflow.technique import library_words
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.training import ModelNotTrainable
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from apps.agents.techniques.training.places import training_part_of
from apps.agents.techniques.training.report import effect_of, evidence_of
from apps.agents.techniques.training.state import State
from apps.agents.techniques.training.trainer import Trainer

TEACHER = "teacher"
PATIENCE = 8
"""Of twelve checks. A network whose layers were fitted may get worse first, until the rate has fallen."""
_WIDE = frozenset({"float32", "float64"})


class RecoveryTraining(BaseOptimizationAgent):
    """Trains the model further, and delivers the weights that were best on held-out examples."""

    _state: State

    def check(self, assignment: Assignment, context: Context) -> None:
        """As any technique. Raises `TrainingPartMissing` without a training part."""
        super().check(assignment, context)
        training_part_of(assignment.dataset, assignment.spec.label)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        """Raises `TechniqueNoEffect` if training did not lower the held-out loss, so the weights are unchanged."""
        use_threads(assignment.threads)
        label = assignment.spec.label
        hyperparameters = replace(Hyperparameters.of(assignment.parameters, assignment.seed), patience=PATIENCE)
        model = trainable(keras_of(assignment), label)
        size = max(1, hyperparameters.batch_size // assignment.batch_divisor)
        examples = examples_of(assignment.dataset, model, size, hyperparameters.seed, label)
        with library_words(label):
            loss, teacher = _judge(assignment, hyperparameters, examples, model.summary)
            learner = KerasLearner(model, teacher, examples, loss, hyperparameters)
            self._state = Trainer(learner, context, assignment.scratch, label).run()
        effect_of(self._state, label)
        made = save_keras(model.keras, assignment.out)
        return Applied(made, evidence_of(self._state, examples, _device()), {"steps": self._state.steps})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """The held-out loss before and after."""
        return effect_of(self._state, assignment.spec.label)


def trainable(keras: Any, label: str) -> TensorFlowModel:
    """A Keras model with all its layers set to learn, in the name of the technique `label`.

    Raises `ModelNotTrainable` if it is quantized, or if its weights are half precision or not floats at all.
    """
    keras.trainable = True
    types = {str(one.dtype) for one in keras.trainable_variables}
    if not types:
        raise ModelNotTrainable(technique=label, reason="it has no weights that can be trained")
    if narrow := types - _WIDE:
        reason = f"its weights are {' and '.join(sorted(narrow))}, too coarse for small steps; start from float32"
        raise ModelNotTrainable(technique=label, reason=reason)
    return keras_model(keras, Format.KERAS, "")


def _judge(
    assignment: Assignment, hyperparameters: Hyperparameters, examples: Examples, summary: ModelSummary
) -> tuple[Loss, Teacher | None]:
    """The loss, and the original if the loss needs its outputs."""
    spec = assignment.dataset.spec
    judged = judged_output(summary.outputs, spec.output).name
    floats = [one.name for one in summary.outputs if one.dtype.startswith("float")]
    read = floats if spec.task is Task.FIDELITY else [judged]
    ask, batch = _asked(assignment, read), next(examples.checks())
    output = ask(batch.arrays)[judged] if judged in read else np.zeros(0)
    reads_labels = says(spec.task, output, batch.labels)
    loss = Loss(
        spec.task, judged, hyperparameters.distill, hyperparameters.temperature, reads_labels, are_probabilities(output)
    )
    if not loss.needs_original:
        return loss, None
    return loss, Teacher(
        ask, len(examples.part.indices), keeps=not hyperparameters.shift and not hyperparameters.mirror
    )


def _asked(assignment: Assignment, names: list[str]) -> Callable[[Arrays], Outputs]:
    """The model that the session started from, as the teacher. Gives outputs `names` for arrays by input names."""
    original = load_opened(open_model(assignment.further_inputs[TEACHER].path, assignment.scratch))
    run = tf.function(original.call, autograph=False, reduce_retracing=True)

    def ask(arrays: Arrays) -> Outputs:
        inputs = original.summary.inputs
        outputs = run({one.name: tf.constant(arrays[one.name], tf.as_dtype(one.dtype)) for one in inputs})
        return {name: np.asarray(outputs[name], np.float32) for name in names}

    return ask


def _device() -> str:
    return "cuda" if tf.config.list_physical_devices("GPU") else "cpu"
