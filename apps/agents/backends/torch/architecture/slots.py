"""Which numbers of a module's tensors belong to which channels: what a sub-network of given widths consists of.

torch-pruning's dependency graph (https://arxiv.org/abs/2301.12900) says which axes of which tensors follow the output
channels of a layer. Channels are ranked by importance, and a sub-network of width w has the first w of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from apps.agents.backends.torch.pruning.workload import CUT

Tensors = tuple[torch.Tensor, ...]
_TRANSPOSED = nn.modules.conv._ConvTransposeNd
_NORM = nn.modules.batchnorm._BatchNorm
Axes = tuple[tuple[str, int], ...]
"""Names of a module's tensors, each with an axis."""


@dataclass(frozen=True)
class Slot:
    """One axis of a tensor, `ranks` of whose numbers belong to channels: -1 where they do not."""

    tensor: str
    axis: int
    ranks: torch.Tensor


@dataclass(frozen=True)
class Group:
    """Layers that must have the same number of output channels, and everything that follows them."""

    layers: tuple[str, ...]
    width: int
    slots: tuple[Slot, ...]


def groups_of(
    module: nn.Module, tensors: Tensors, fixed: frozenset[str], importance: Callable[[Any], torch.Tensor]
) -> list[Group]:
    """The groups of `module`, which runs on `tensors`, without those of layers in `fixed`.

    Groups of layers that hold channels in a way that is not known here are left out.
    """
    graph = tp.DependencyGraph().build_dependency(module, example_inputs=tensors)
    names = {part: name for name, part in module.named_modules()}
    found, seen = [], set(fixed)
    for name, layer in module.named_modules():
        if not isinstance(layer, CUT) or name in seen:
            continue
        root = graph.get_pruner_of_module(layer).prune_out_channels
        group = graph.get_pruning_group(layer, root, idxs=list(range(_outputs(layer))))
        together = tuple(dict.fromkeys(_cut_layers(group, graph, names)))
        seen |= set(together)
        if fixed & set(together):
            continue
        slots = _slots(group, graph, names, importance)
        if slots is not None:
            found.append(Group(together, _outputs(layer), tuple(slots)))
    return found


def _outputs(layer: nn.Module) -> int:
    return int(getattr(layer, "out_channels", None) or layer.out_features)


def _cut_layers(group: Any, graph: Any, names: Mapping[nn.Module, str]) -> Iterator[str]:
    for item in group:
        target = item.dep.target.module
        if isinstance(target, CUT) and graph.is_out_channel_pruning_fn(item.dep.handler):
            yield names[target]


def _slots(
    group: Any, graph: Any, names: Mapping[nn.Module, str], importance: Callable[[Any], torch.Tensor]
) -> list[Slot] | None:
    """`None` if a target is not known here."""
    scores = importance(group)
    if scores is None:
        return None
    ranks = torch.empty(len(scores), dtype=torch.int64)
    ranks[torch.argsort(scores.detach(), descending=True, stable=True)] = torch.arange(len(scores))
    found: dict[tuple[str, int], Slot] = {}
    for item in group:
        target = item.dep.target.module
        if isinstance(target, nn.Parameter):
            return None
        if target not in names:  # An operator without weights, by torch-pruning's own name.
            continue
        axes = _axes(target, outgoing=bool(graph.is_out_channel_pruning_fn(item.dep.handler)))
        if axes is None:
            return None
        for tensor, axis in axes:
            name = f"{names[target]}.{tensor}" if names[target] else tensor
            length = _held(target)[tensor].shape[axis]
            own = torch.full((length,), -1, dtype=torch.int64)
            own[torch.as_tensor(list(item.idxs))] = ranks[torch.as_tensor(list(item.root_idxs))]
            if (name, axis) in found:
                before = found[name, axis].ranks
                own = torch.where(own < 0, before, own)
            found[name, axis] = Slot(name, axis, own)
    return list(found.values())


def _held(module: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}


def _axes(part: nn.Module, *, outgoing: bool) -> Axes | None:
    """The axes of a module's tensors along its output or input channels; `None` if they are not known."""
    held = _held(part)
    if isinstance(part, _NORM):
        every: Axes = tuple((name, 0) for name in ("weight", "bias", "running_mean", "running_var"))
    elif isinstance(part, nn.Linear):
        every = (("weight", 0), ("bias", 0)) if outgoing else (("weight", 1),)
    elif isinstance(part, nn.modules.conv._ConvNd):
        depthwise = part.groups > 1
        if depthwise and not part.groups == part.in_channels == part.out_channels:
            return None
        first = 1 if isinstance(part, _TRANSPOSED) else 0
        if depthwise:
            every = (("weight", 0), ("bias", 0))
        else:
            every = (("weight", first), ("bias", 0)) if outgoing else (("weight", 1 - first),)
    else:
        return None
    return tuple((name, axis) for name, axis in every if held.get(name) is not None)
