"""What of a model's outputs a loss reads: tokens that only fill up rows are no part of it, and some are pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.training.teacher import Asked
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.text import ATTENTION_MASK


@dataclass(frozen=True)
class Reading:
    """As the evaluation reads outputs (`apps.agents.evaluation.metrics.judged`), for tensors with gradients."""

    judged: int
    """The place of the output that predictions are read from."""
    pooling: str = "none"
    """How its token embeddings [N, tokens, size] become one: `none`, `first`, or `mean`."""

    def __call__(self, outputs: list[Tensor], tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """The outputs in their order. `tensors` are the inputs, among which the mask is 0 for what fills up rows."""
        mask = tensors.get(ATTENTION_MASK)
        return [
            self._pooled(one, mask) if place == self.judged else _cleared(one, mask)
            for place, one in enumerate(outputs)
        ]

    def _pooled(self, output: Tensor, mask: Tensor | None) -> Tensor:
        if self.pooling == "none" or output.ndim != 3:
            return _cleared(output, mask)
        if self.pooling == "first":
            return output[:, 0]
        if mask is None:
            return output.mean(1)
        return _cleared(output, mask).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def _cleared(output: Tensor, mask: Tensor | None) -> Tensor:
    """Zeros at the tokens that fill up rows, in outputs of tokens [N, tokens, size]."""
    if mask is None or output.ndim != 3 or output.shape[:2] != mask.shape:
        return output
    return torch.where(mask[:, :, None].bool(), output, 0.0)


def asked(original: TorchModel, reading: Reading) -> Asked:
    """What `reading` reads of the original's outputs."""

    def ask(tensors: dict[str, Tensor]) -> list[Tensor]:
        return reading(original.call(tensors), tensors)

    return ask


def task_of(spec: DatasetSpec) -> Task:
    """What a loss compares: what is pooled is an embedding, with labels or without, and its direction counts."""
    return Task.EMBEDDING if spec.task is Task.FIDELITY and spec.pooling != "none" else spec.task
