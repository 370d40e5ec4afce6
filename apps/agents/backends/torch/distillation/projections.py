"""Learned maps from a student's widths to its teacher's.

As the regressors of FitNets (Romero et al. 2015, https://arxiv.org/abs/1412.6550) and TinyBERT (Jiao et al. 2020,
https://arxiv.org/abs/1909.10351). Where the widths are equal, nothing is learned and states are compared as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from apps.agents.contracts.errors.distillation import StudentDiffers


class Projection(nn.Module):  # type: ignore[misc, unused-ignore]
    """A linear map over one axis: of a picture's channels it is a 1×1 convolution."""

    def __init__(self, narrow: int, wide: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.map = nn.Identity() if narrow == wide else nn.Linear(narrow, wide, bias=False)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """[…, narrow, …] → […, wide, …]."""
        mapped: torch.Tensor = self.map(state.movedim(self.axis, -1))
        return mapped.movedim(-1, self.axis)


class Projections(nn.ModuleList):  # type: ignore[misc, unused-ignore]
    """One projection for each hidden state."""

    def forward(self, states: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [projection(state) for projection, state in zip(self, states, strict=True)]


def projections_for(
    student: Sequence[torch.Tensor],
    teacher: Sequence[torch.Tensor],
    axes: Sequence[int],
    label: str,
    channels: Sequence[int] = (),
) -> Projections:
    """For hidden states like these. They begin by putting the student's channels in the places `channels`, if given.

    Raises `StudentDiffers` if they differ in another axis than that of channels."""
    made = []
    for place, (given, wanted, axis) in enumerate(zip(student, teacher, axes, strict=True), start=1):
        narrow, wide = list(given.shape), list(wanted.shape)
        sizes = narrow.pop(axis), wide.pop(axis)
        if narrow != wide:
            reason = f"its hidden state {place} is {list(given.shape)}, and the original's is {list(wanted.shape)}"
            raise StudentDiffers(technique=label, reason=reason)
        made.append(Projection(*sizes, axis))
        if channels and isinstance(made[-1].map, nn.Linear):
            _put(made[-1].map, channels)
    return Projections(made)


def _put(layer: nn.Linear, channels: Sequence[int]) -> None:
    """Let the layer copy its inputs to the outputs `channels`, and give 0 for the others."""
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[list(channels), range(len(channels))] = 1.0
