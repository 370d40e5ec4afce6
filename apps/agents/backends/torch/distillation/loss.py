"""The loss of a student: that of the outputs, and weighted distances of what both models compute inside.

Hidden states are compared as in FitNets (Romero et al. 2015, https://arxiv.org/abs/1412.6550), attention maps as in
MobileBERT (Sun et al. 2020, https://arxiv.org/abs/2004.02984), directions of the last hidden state as in DistilBERT
(Sanh et al. 2019, https://arxiv.org/abs/1910.01108).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from apps.agents.backends.torch.training.losses import Loss

_TINY = 1e-7


@dataclass(frozen=True)
class Weights:
    """Of the distances inside, beside 1 for the outputs."""

    hidden: float = 0.0
    attention: float = 0.0
    cosine: float = 0.0
    """Of the angle between the last hidden states, each averaged over its positions."""

    @property
    def any(self) -> bool:
        return max(self.hidden, self.attention, self.cosine) > 0


@dataclass(frozen=True)
class StudentLoss(Loss):
    """Takes what `Observed` models give: outputs, hidden states in the teacher's widths, attention maps."""

    outputs: int = 1
    hidden_states: int = 0
    axis: int = -1
    """Of channels, in the last hidden state."""
    weights: Weights = Weights()

    def __call__(self, given: list[Tensor], wanted: list[Tensor] | None, labels: Tensor | None) -> Tensor:
        """A mean over the batch, a tensor of no axes."""
        total = super().__call__(given[: self.outputs], wanted and wanted[: self.outputs], labels)
        if wanted is None or not self.weights.any:
            return total
        return total + self._inside(given[self.outputs :], wanted[self.outputs :])

    def needs_original(self, output: Tensor, labels: Tensor | None) -> bool:
        return self.weights.any or super().needs_original(output, labels)

    def _inside(self, given: list[Tensor], wanted: list[Tensor]) -> Tensor:
        pairs = list(zip(given, wanted, strict=True))
        states, maps = pairs[: self.hidden_states], pairs[self.hidden_states :]
        total = torch.zeros((), device=given[0].device)
        if self.weights.hidden:
            total = total + self.weights.hidden * _mean([state_distance(*pair) for pair in states])
        if self.weights.attention:
            total = total + self.weights.attention * _mean([map_distance(*pair) for pair in maps])
        if self.weights.cosine:
            total = total + self.weights.cosine * angle(*states[-1], self.axis)
        return total


def state_distance(given: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared error as a share of the variance of `wanted`: 1 if all that is known is its mean."""
    wanted = wanted.float()
    return (given.float() - wanted).square().mean() / (wanted.var(correction=0) + _TINY)


def map_distance(given: Tensor, wanted: Tensor) -> Tensor:
    """The mean divergence KL(wanted‖given) of rows of probabilities […, queries, keys]; rows of zeros do not count."""
    given, wanted = given.float(), wanted.float()
    rows = (wanted * ((wanted + _TINY).log() - (given + _TINY).log())).sum(-1)
    return rows.sum() / (wanted.sum(-1) > 0).sum().clamp(min=1)


def angle(given: Tensor, wanted: Tensor, axis: int) -> Tensor:
    """1 less the mean cosine between states with channels at `axis`, each averaged over its positions."""
    return 1 - functional.cosine_similarity(_pooled(given, axis), _pooled(wanted, axis), dim=-1).mean()


def _pooled(state: Tensor, axis: int) -> Tensor:
    """[N, channels]."""
    rows = state.float().movedim(axis, -1)
    return rows.flatten(1, -2).mean(1) if rows.ndim > 2 else rows


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).mean()
