"""Magnitude pruning for Keras 3: the smallest weights become zero and stay zero while the others are trained again.

Method: Han et al. 2015, https://arxiv.org/abs/1506.02626. Zeros make neither a dense file smaller nor a dense kernel
faster. Their benefit appears in compressed files, which are reported separately.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.agents.backends.tensorflow.keras_technique import KerasTechnique
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Applied, Assignment

SPARSITY_TOLERANCE = 0.01


class MagnitudePruning(KerasTechnique):
    """Zeroes a share of all kernels' weights, the smallest of each layer or of the whole model."""

    _zeros: float

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        original, model = self.keras(assignment), self.keras(assignment)
        kernels = self.kernels(model, assignment)
        masks = _masks([weight.numpy() for weight in kernels], assignment.parameters)

        def hold() -> None:
            for weight, mask in zip(kernels, masks, strict=True):
                weight.assign(weight * mask)

        hold()
        self.learn(model, original, assignment, context, hold)
        self._zeros = _share_of_zeros(kernels)
        return self.finished(model, assignment, {"zeros_share": self._zeros})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Check that as many weights are zero as requested."""
        asked = float(assignment.parameters["sparsity"])
        if self._zeros < asked - SPARSITY_TOLERANCE:
            reason = f"{self._zeros:.1%} of the kernels' weights are zero, but {asked:.1%} were requested"
            raise TechniqueNoEffect(technique=assignment.spec.label, reason=reason)
        return f"{self._zeros:.1%} of the kernels' weights are zero; it was {self.learned}."


def _masks(kernels: list[Any], parameters: Any) -> list[Any]:
    """1 where a weight stays, 0 where it is among the smallest."""
    sparsity = float(parameters["sparsity"])
    if parameters["scope"] == "layer":
        return [_mask(kernel, np.quantile(np.abs(kernel), sparsity)) for kernel in kernels]
    threshold = np.quantile(np.concatenate([np.abs(kernel).ravel() for kernel in kernels]), sparsity)
    return [_mask(kernel, threshold) for kernel in kernels]


def _mask(kernel: Any, threshold: float) -> Any:
    return (np.abs(kernel) > threshold).astype(kernel.dtype)


def _share_of_zeros(kernels: list[Any]) -> float:
    zeros = sum(int((weight.numpy() == 0).sum()) for weight in kernels)
    return zeros / sum(int(np.prod(weight.shape)) for weight in kernels)
