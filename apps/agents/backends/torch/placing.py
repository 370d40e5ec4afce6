"""Moves a model to a device, programs included: these name the device on which they were exported."""

from __future__ import annotations

import torch
from torch import fx, nn


def place(module: nn.Module, device: str) -> nn.Module:
    """Move all of `module` to `device`, in place, and return it.

    Beside parameters and buffers these are the constants of an exported program, which are plain attributes, and the
    devices in its graph: `arange(n, device=cpu)` would otherwise meet tensors of another device.
    """
    module.to(device)
    for part in module.modules():
        for name, value in list(vars(part).items()):
            if isinstance(value, torch.Tensor):
                setattr(part, name, value.to(device))
        if isinstance(part, fx.GraphModule):
            _place_graph(part, torch.device(device))
    return module


def _place_graph(program: fx.GraphModule, device: torch.device) -> None:
    """Name `device` wherever the graph names one."""

    def moved(value: object) -> object:
        return device if isinstance(value, torch.device) else value

    changed = False
    for node in program.graph.nodes:
        args, kwargs = fx.node.map_aggregate(node.args, moved), fx.node.map_aggregate(node.kwargs, moved)
        if (args, kwargs) != (node.args, node.kwargs):
            node.args, node.kwargs, changed = args, kwargs, True
    if changed:
        program.recompile()
