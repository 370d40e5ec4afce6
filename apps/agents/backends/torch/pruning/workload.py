"""What a graph of modules computes and stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from apps.agents.techniques.reduction import Workload

CUT = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers whose output channels may be cut."""


def workload_of(module: nn.Module, tensors: tuple[torch.Tensor, ...], rows: int) -> Workload:
    """Multiply-accumulates of convolutions and linear layers for one of the `rows` examples in `tensors`."""
    macs = 0

    def count(layer: nn.Module, given: Any, output: torch.Tensor) -> None:
        nonlocal macs
        weight: torch.Tensor = layer.weight
        per_output = weight[0].numel()
        if isinstance(layer, nn.modules.conv._ConvTransposeNd):
            macs += given[0].numel() * weight[0].numel()
        else:
            macs += output.numel() * per_output

    hooks = [part.register_forward_hook(count) for part in module.modules() if isinstance(part, CUT)]
    try:
        with torch.no_grad():
            module(*tensors)
    finally:
        for hook in hooks:
            hook.remove()
    parameters = sum(weight.numel() for weight in module.parameters())
    return Workload(macs // rows, parameters, sum(widths_of(module).values()))


def widths_of(module: nn.Module) -> Mapping[str, int]:
    """Output channels by the name of the layer."""
    return {
        name: int(getattr(part, "out_channels", None) or part.out_features)
        for name, part in module.named_modules()
        if isinstance(part, CUT)
    }
