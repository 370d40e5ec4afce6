"""Weight clustering of PyTorch models: the parameters of each tensor share a few values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.training.module import to_save, trainable
from apps.agents.contracts.formats import Format
from apps.agents.techniques.base import Assignment
from apps.agents.techniques.clustering.agent import ClusteringAgent
from apps.agents.techniques.clustering.k_means import Floats

_LEAST_AXES = 2


class WeightClustering(ClusteringAgent):
    """Tied parameters are one tensor. A layer keeps its weights under its own name, or that of a module above it."""

    _model: TorchModel

    def open(self, assignment: Assignment) -> None:
        use_threads(assignment.threads)
        self._model = _opened(assignment.model, assignment)

    def layers(self) -> frozenset[str]:
        return frozenset(name for name, _ in self._model.module.named_modules() if name)

    def tensors(self, kept: frozenset[str]) -> Iterator[tuple[str, Floats]]:
        for name, weight in self._weights():
            if not any(name.startswith(f"{one}.") for one in kept):
                yield name, weight.detach().float().cpu().numpy()

    def store(self, weights: Mapping[str, Floats]) -> None:
        with torch.no_grad():
            for name, weight in self._weights():
                if name in weights:
                    weight.copy_(torch.from_numpy(weights[name]))

    def save(self, assignment: Assignment) -> Path:
        return save_model(to_save(self._model), assignment.out)

    def reopen(self, assignment: Assignment, artifact: Path) -> None:
        self._model = _opened(artifact, assignment)

    def _weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        for name, weight in self._model.module.named_parameters():
            if weight.is_floating_point() and weight.ndim >= _LEAST_AXES and weight.numel():
                yield name, weight


def _opened(file: Path, assignment: Assignment) -> TorchModel:
    """The model, a program with its layers as modules. Raises `ModelNotTrainable` if none of it can be rebuilt."""
    model = load_model(file, assignment.scratch)
    return trainable(model, assignment.spec.label) if model.format is Format.TORCH_EXPORT else model
