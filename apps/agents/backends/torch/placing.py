"""Moves a model to a device. Exported programs contain the device of the export, which is replaced."""

from __future__ import annotations

import torch
from torch import fx, nn


def place(module: nn.Module, device: str) -> nn.Module:
    """Move all of `module` to `device`, in place, and return it.

    Besides parameters and buffers, this includes the constants of an exported program, which are plain attributes, and
    the devices in its graph: otherwise `arange(n, device=cpu)` would meet tensors on another device.
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
    """Put `device` in place of every device in the graph. Returns whether anything changed."""

    def moved(value: object) -> object:
        return device if isinstance(value, torch.device) else value

    changed = False
    for node in graph.nodes:
        args, kwargs = fx.node.map_aggregate(node.args, moved), fx.node.map_aggregate(node.kwargs, moved)
        if (args, kwargs) != (node.args, node.kwargs):
            node.args, node.kwargs, changed = args, kwargs, True
    return changed
