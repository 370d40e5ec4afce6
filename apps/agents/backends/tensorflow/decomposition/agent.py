"""Low-rank decomposition of a Keras model without training: measures its layers, chooses ranks, replaces them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from apps.agents.backends.tensorflow.decomposition.factors import replaced
from apps.agents.backends.tensorflow.decomposition.layers import Layers, layers_of
from apps.agents.backends.tensorflow.decomposition.measuring import KerasMeasurer, spreads
from apps.agents.backends.tensorflow.engine import use_threads
from apps.agents.backends.tensorflow.keras_technique import keras_of
from apps.agents.backends.tensorflow.loading import keras_model
from apps.agents.backends.tensorflow.pruning.anatomy import workload_of
from apps.agents.backends.tensorflow.pruning.flow import Flow
from apps.agents.backends.tensorflow.saving import save_keras
from apps.agents.backends.tensorflow.technique import library_words
from apps.agents.contracts.formats import Format
from apps.agents.techniques.base import Assignment
from apps.agents.techniques.decomposition.agent import CompressionAgent, FittedFactor, Plan, Tell
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spread import Spread
from apps.agents.techniques.reduction import Workload

BATCH = 32


class Decomposition(CompressionAgent):
    """Replaces convolutions and dense layers of functional and sequential models."""

    _model: Any
    _layers: Layers

    def open(self, assignment: Assignment) -> None:
        use_threads(assignment.threads)
        self._model = keras_of(assignment)
        self._layers = layers_of(self._model)

    def layers(self) -> tuple[Sequence[DenseLayer], Mapping[str, str]]:
        return [layer.dense for layer in self._layers.found], self._layers.left

    def whole(self) -> Workload:
        return workload_of(self._model)

    def spreads(self, assignment: Assignment) -> Iterator[Spread]:
        return spreads(self._model, self._layers.found, self._flow(assignment), assignment.seed)

    def measurer(self, assignment: Assignment) -> KerasMeasurer:
        by_name = {layer.name: layer for layer in self._layers.found}
        return KerasMeasurer(self._model, by_name, self._flow(assignment), assignment.threads)

    def make(self, assignment: Assignment, plan: Plan, tell: Tell) -> tuple[Path, list[FittedFactor]]:
        """Last factors are as the covariances of the original's inputs give them."""
        measurer = self.measurer(assignment)
        made = {
            name: measurer.replacement(plan.chooser.factorizer(name), plan.chooser.factors(name, option))
            for name, option in plan.choice.replaced.items()
        }
        tell(0.0, "writing the model")
        with library_words(assignment.spec.label):
            return save_keras(replaced(self._model, made), assignment.out), []

    def recount(self, assignment: Assignment, artifact: Path) -> Workload:
        return workload_of(keras_of(replace(assignment, model=artifact)))

    def _flow(self, assignment: Assignment) -> Flow:
        examples = min(int(assignment.parameters["calibration_examples"]), len(assignment.dataset.calibration_indices))
        inputs = keras_model(self._model, Format.KERAS, "").summary.inputs
        return Flow(inputs, lambda count: assignment.batches(count, BATCH), examples)
