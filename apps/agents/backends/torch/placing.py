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
        graph = getattr(part, "graph", None)
        changed = isinstance(graph, fx.Graph) and _renamed(graph, torch.device(device))
        if changed and isinstance(part, fx.GraphModule):  # Other modules interpret their graph.
            part.recompile()
    return module


def _renamed(graph: fx.Graph, device: torch.device) -> bool:
    """Name `device` wherever the graph names one; whether anything changed."""

    def moved(value: object) -> object:
        return device if isinstance(value, torch.device) else value

    changed = False
    for node in graph.nodes:
        args, kwargs = fx.node.map_aggregate(node.args, moved), fx.node.map_aggregate(node.kwargs, moved)
        if (args, kwargs) != (node.args, node.kwargs):
            node.args, node.kwargs, changed = args, kwargs, True
    return changed
