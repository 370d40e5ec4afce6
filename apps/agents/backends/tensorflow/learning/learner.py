"""Steps and checks of a Keras model: a `Learner` (`apps.agents.techniques.training.learner`) with Keras' optimizers.

The model is trained in the mode in which it will run: batch norms keep their statistics, to which pruned layers were
fitted, and dropout is off. Keras' norms follow slowly (by a hundredth per step), so in a short training statistics
would lag behind the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from apps.agents.backends.tensorflow.learning.examples import Batch, Examples, augmented
from apps.agents.backends.tensorflow.learning.losses import Loss
from apps.agents.backends.tensorflow.learning.teacher import Teacher
from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from apps.agents.techniques.training.state import State

Weights = list[NDArray[np.generic]]
SMALLEST_SCALE = 1e-4
_USUAL = 3.0
"""Trained weights may be as small as a third of their initial size."""


class KerasLearner:
    """Trains the Keras model of `model` in place."""

    def __init__(
        self,
        model: TensorFlowModel,
        teacher: Teacher | None,
        examples: Examples,
        loss: Loss,
        hyperparameters: Hyperparameters,
    ) -> None:
        self.model, self.teacher, self.examples, self.loss, self.hyperparameters = (
            model,
            teacher,
            examples,
            loss,
            hyperparameters,
        )
        self.keras = model.keras
        self._weights = list(self.keras.trainable_variables)
        self._optimizer = _optimizer_of(self._weights, hyperparameters)
        self._optimizer.build(self._weights)
        self._scaled = [(one, scale) for one in self._weights if (scale := scale_of(one)) < 1]
        self._fresh = [one.numpy() for one in self._optimizer.variables]
        self._taught = tf.function(self._step, autograph=False, reduce_retracing=True)
        self._judged = tf.function(self._loss, autograph=False, reduce_retracing=True)

    def step(self, number: int, rate: float) -> float:
        """Makes step `number` at this learning rate and returns its loss. Random draws depend on seed and number."""
        batch, hyperparameters = self.examples.batch(number), self.hyperparameters
        if hyperparameters.shift or hyperparameters.mirror:
            batch = augmented(
                batch, hyperparameters.shift, mirror=hyperparameters.mirror, seed=(hyperparameters.seed, number)
            )
        self._optimizer.learning_rate.assign(rate)
        return float(self._taught(*self._given(batch)))

    def check(self) -> float:
        """The mean loss of the held-out examples, in the mode in which the model will run."""
        losses, counts = [], []
        for batch in self.examples.checks():
            losses.append(float(self._judged(*self._given(batch))))
            counts.append(len(batch.places))
        return float(np.average(losses, weights=counts))

    # --- weights ------------------------------------------------------------------------------------------------------

    def copied(self) -> Weights:
        """All variables of the model, as they are now."""
        return [np.array(one) for one in self.keras.get_weights()]

    def restore(self, weights: Weights) -> None:
        self.keras.set_weights(weights)

    def forget(self) -> None:
        _assign(self._optimizer.variables, self._fresh)

    def finish(self) -> None:
        """Nothing to do: the model is always in the mode in which it will run."""

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def write(self, file: Path, state: State, best: Weights) -> None:
        """An npz: weights, best weights, the optimizer's variables, the teacher's answers, and the state as JSON."""
        answers = {} if self.teacher is None else self.teacher.kept
        arrays: dict[str, Any] = {
            **_numbered("model", self.copied()),
            **_numbered("best", best),
            **_numbered("optimizer", [one.numpy() for one in self._optimizer.variables]),
            **{f"answers/{name}": array for name, array in answers.items()},
        }
        with file.open("wb") as stream:
            np.savez(stream, state=np.array(json.dumps(asdict(state))), **arrays)

    def read(self, file: Path) -> tuple[State, Weights]:
        with np.load(file, allow_pickle=False) as kept:
            arrays = dict(kept)
        self.restore(_listed("model", arrays))
        _assign(self._optimizer.variables, _listed("optimizer", arrays))
        if self.teacher is not None:
            answers = {name: array for name, array in arrays.items() if name.startswith("answers/")}
            self.teacher.kept = {name.removeprefix("answers/"): array for name, array in answers.items()}
        return State(**json.loads(str(arrays["state"]))), _listed("best", arrays)

    def alone(self) -> AbstractContextManager[object]:
        """Training does not use generators that others use."""
        return nullcontext()

    # --- one step -----------------------------------------------------------------------------------------------------

    def _given(self, batch: Batch) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Inputs and the original's outputs as tensors by name, and labels, or −1 if the loss does not read them."""
        inputs = {
            spec.name: tf.constant(batch.arrays[spec.name], tf.as_dtype(spec.dtype))
            for spec in self.model.summary.inputs
        }
        wanted = {} if self.teacher is None else self.teacher.outputs(batch)
        labels = batch.labels if self.loss.reads_labels else -1
        return inputs, {name: tf.constant(array) for name, array in wanted.items()}, tf.constant(labels)

    def _step(self, inputs: Mapping[str, Any], wanted: Mapping[str, Any], labels: Any) -> Any:
        before = [tf.identity(one.value) for one, _ in self._scaled]
        with tf.GradientTape() as tape:
            loss = self._loss(inputs, wanted, labels)
        values = [one.value for one in self._weights]
        gradients = tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self._optimizer.apply(gradients, self._weights)
        for (one, scale), old in zip(self._scaled, before, strict=True):
            one.assign(old + scale * (one.value - old))
        return loss

    def _loss(self, inputs: Mapping[str, Any], wanted: Mapping[str, Any], labels: Any) -> Any:
        return self.loss(self.model.call(inputs), wanted, labels)


def scale_of(variable: Any) -> float:
    """The weight's rate as a share of the training's, 0 to 1: lower for weights much smaller than initial ones are.

    Those of a first layer that takes raw pixels are: Adam's steps do not shrink with the weights, and would undo them.
    The rate is relative to the weights' size as in Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, section 8.
    """
    if len(variable.shape) <= 1:
        return 1.0
    values = variable.numpy().astype(np.float32)
    fan_in = int(np.prod(values.shape[:-1]))
    size = float(np.sqrt(np.square(values).mean())) * fan_in**0.5
    return float(min(1.0, max(SMALLEST_SCALE, _USUAL * size)))


def _optimizer_of(weights: list[Any], hyperparameters: Hyperparameters) -> Any:
    """The optimizer. Norms and biases do not decay."""
    common = {"weight_decay": hyperparameters.weight_decay, "global_clipnorm": hyperparameters.largest_gradient}
    if hyperparameters.optimizer == "sgd":
        made = keras.optimizers.SGD(hyperparameters.learning_rate, momentum=0.9, nesterov=True, **common)
    else:
        made = keras.optimizers.AdamW(hyperparameters.learning_rate, **common)
    if flat := [one for one in weights if len(one.shape) <= 1]:
        made.exclude_from_weight_decay(var_list=flat)
    return made


def _numbered(name: str, arrays: Weights) -> dict[str, NDArray[np.generic]]:
    return {f"{name}/{place}": array for place, array in enumerate(arrays)}


def _listed(name: str, arrays: Mapping[str, NDArray[np.generic]]) -> Weights:
    return [arrays[f"{name}/{place}"] for place in range(sum(one.startswith(f"{name}/") for one in arrays))]


def _assign(variables: list[Any], values: Weights) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
