"""Weight clustering for Keras 3: the weights of each kernel share a few values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from apps.agents.backends.tensorflow.engine import use_threads
from apps.agents.backends.tensorflow.keras_technique import keras_of
from apps.agents.backends.tensorflow.kernels import kernels_of, sizes_of
from apps.agents.backends.tensorflow.loading import layers_of
from apps.agents.backends.tensorflow.saving import save_keras
from apps.agents.techniques.base import Assignment
from apps.agents.techniques.clustering.agent import ClusteringAgent
from apps.agents.techniques.clustering.k_means import Floats


class WeightClustering(ClusteringAgent):
    """Kernels and embeddings; weights that only tf_keras reads are refused."""

    _model: Any

    def open(self, assignment: Assignment) -> None:
        use_threads(assignment.threads)
        self._model = keras_of(assignment)

    def layers(self) -> frozenset[str]:
        return frozenset(layer.name for layer in layers_of(self._model))

    def tensors(self, kept: frozenset[str]) -> Iterator[tuple[str, Floats]]:
        for name, weight in kernels_of(self._model):
            if name.rpartition("/")[0] not in kept:
                yield name, weight.numpy()

    def store(self, weights: Mapping[str, Floats]) -> None:
        for name, weight in kernels_of(self._model):
            if name in weights:
                weight.assign(weights[name])

    def save(self, assignment: Assignment) -> Path:
        return save_keras(self._model, assignment.out)

    def reopen(self, assignment: Assignment, artifact: Path) -> None:
        self._model = keras_of(replace(assignment, model=artifact))

    def sizes(self, assignment: Assignment, artifact: Path) -> dict[str, int]:
        """Also as TensorFlow Lite, and that zipped, where LiteRT can convert the model."""
        converted = {name: n for name, n in sizes_of(self._model, assignment, artifact).items() if "Lite" in name}
        return {**super().sizes(assignment, artifact), **converted}
