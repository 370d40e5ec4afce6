"""Modules that replace a layer: its factors, one after the other."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from apps.agents.backends.torch.decomposition.layers import CONVOLUTIONS, TorchLayer
from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.decomposition.factors import Factors, Stage


@dataclass(frozen=True)
class Replacement:
    """A layer with its factors, and what they add to its bias, [outputs]."""

    layer: TorchLayer
    factors: Factors
    shift: Matrix


def replaced(module: nn.Module, by_name: Mapping[str, Replacement]) -> nn.Module:
    """A copy of the module with these layers, by their paths, replaced."""
    made = copy.deepcopy(module)
    for name, one in by_name.items():
        made.set_submodule(name, factors_of(one))
    return made


def factors_of(one: Replacement) -> nn.Sequential:
    """The factors as a module, the last with the layer's bias and the shift, if there are such."""
    part, stages = one.layer.part, one.factors.stages
    biased = part.bias is not None or bool(np.any(one.shift))
    modules = [_module(part, stage, bias=biased and stage is stages[-1]) for stage in stages]
    if biased:
        bias = torch.from_numpy(one.shift).to(part.weight.dtype)
        modules[-1].bias.data.copy_(bias if part.bias is None else bias + part.bias.detach())
    return nn.Sequential(*modules).train(part.training)


def _module(part: nn.Module, stage: Stage, *, bias: bool) -> nn.Module:
    weight = torch.from_numpy(np.ascontiguousarray(stage.weight)).to(part.weight.dtype)
    if isinstance(part, CONVOLUTIONS):
        made = type(part)(
            stage.weight.shape[1] * stage.groups,
            stage.outputs,
            stage.weight.shape[2:],
            stride=_along(part.stride, stage, 1),
            padding=part.padding if isinstance(part.padding, str) else _along(part.padding, stage, 0),
            dilation=_along(part.dilation, stage, 1),
            groups=stage.groups,
            bias=bias,
        )
    else:
        made = nn.Linear(stage.weight.shape[1], stage.outputs, bias=bias)
    made.weight.data = weight
    return made.to(part.weight.dtype)


def _along(numbers: tuple[int, ...], stage: Stage, elsewhere: int) -> tuple[int, ...]:
    """A layer's numbers along the axes that a stage works along."""
    return tuple(number if axis in stage.axes else elsewhere for axis, number in enumerate(numbers))
