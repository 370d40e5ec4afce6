"""A network whose sub-networks share its weights. One is chosen at a time, and computed by slices of the tensors.

Channels, kernels and blocks that a sub-network lacks are not computed, so it takes the time that it would take alone
(slimmable networks, https://arxiv.org/abs/1812.08928; once-for-all networks, https://arxiv.org/abs/1908.09791).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from apps.agents.backends.torch.architecture.blocks import Block, without
from apps.agents.backends.torch.architecture.heads import Attention
from apps.agents.backends.torch.architecture.slots import Group
from apps.agents.techniques.architecture.space import Kind, Space, Values

_NORM = nn.modules.batchnorm._BatchNorm
KEPT_CHOICES = 64
"""Of sub-networks, whose indices are kept in memory."""


@dataclass(frozen=True)
class Anatomy:
    """A space, and what its dimensions mean in a module: in their order groups, attentions, names of convolutions, and
    blocks."""

    space: Space
    groups: tuple[Group, ...]
    attentions: tuple[Attention, ...]
    kernels: tuple[str, ...]
    blocks: tuple[Block, ...]

    def widths(self, values: Values) -> Iterator[tuple[Group, int]]:
        """Every group with what is left of it: channels, or heads of an attention."""
        yield from zip(self.groups, self._of(Kind.WIDTH, values), strict=True)
        yield from ((attention.group, left) for attention, left in self.heads(values))

    def heads(self, values: Values) -> Iterator[tuple[Attention, int]]:
        return zip(self.attentions, self._of(Kind.HEADS, values), strict=True)

    def sides(self, values: Values) -> dict[str, int]:
        """Weights of kernels along each axis, by the layer's name."""
        return dict(zip(self.kernels, self._of(Kind.KERNEL, values), strict=True))

    def skipped(self, values: Values) -> tuple[Block, ...]:
        kept = self._of(Kind.BLOCK, values)
        return tuple(block for block, one in zip(self.blocks, kept, strict=True) if not one)

    def _of(self, kind: Kind, values: Values) -> list[int]:
        return [value for one, value in zip(self.space.dimensions, values, strict=True) if one.kind is kind]


class Supernet(nn.Module):  # type: ignore[misc, unused-ignore]
    """`net` computing the chosen sub-network; at first, and by default, all of it."""

    def __init__(self, net: nn.Module, anatomy: Anatomy) -> None:
        super().__init__()
        self.net = net
        self.anatomy = anatomy
        self.chosen = anatomy.space.largest
        self.indices = lru_cache(KEPT_CHOICES)(self._kept)
        """For each tensor that loses numbers, the places along each axis that stay."""
        self._variants: dict[tuple[Block, ...], nn.Module] = {(): net}

    def forward(self, *given: Any, **named: Any) -> Any:
        if self.chosen == self.anatomy.space.largest:
            return self.net(*given, **named)
        variant = self.variant(self.chosen)
        with _shaped(self.net, self._attributes(self.chosen)):
            return torch.func.functional_call(variant, self._sliced(self.chosen, variant), given, named)

    def alone(self, values: Values) -> nn.Module:
        """The sub-network as a module of its own, with copies of the supernet's weights."""
        made = copy.deepcopy(self.variant(values))
        tensors = self._sliced(values, self.variant(values))
        for name, part in made.named_modules():
            for held in (part._parameters, part._buffers):
                for own, tensor in list(held.items()):
                    if tensor is not None:
                        found = tensors[f"{name}.{own}" if name else own].detach().clone()
                        held[own] = nn.Parameter(found) if held is part._parameters else found
            _describe(part)
        for name, attributes in self._attributes(values).items():
            part = made.get_submodule(name) if name in dict(made.named_modules()) else None
            for attribute, value in attributes.items() if part is not None else ():
                setattr(part, attribute, value)
        return made

    def variant(self, values: Values) -> nn.Module:
        """The network of all widths, without the blocks that a sub-network skips."""
        skipped = self.anatomy.skipped(values)
        if skipped not in self._variants:
            self._variants[skipped] = without(self.net, skipped)
        return self._variants[skipped]

    def _sliced(self, values: Values, variant: nn.Module) -> dict[str, torch.Tensor]:
        """The tensors of `variant`. Buffers are copies: a sub-network does not change the statistics of the whole."""
        indices, sides = self.indices(values), self.anatomy.sides(values)
        found = {name: tensor.clone() for name, tensor in variant.named_buffers()} | dict(variant.named_parameters())
        for name, axes in indices.items():
            if name in found:
                for axis, kept in axes:
                    found[name] = found[name].index_select(axis, kept)
        for layer, side in sides.items():
            name = f"{layer}.weight"
            if name in found and (rim := (found[name].shape[-1] - side) // 2):
                axes = found[name].ndim - 2
                found[name] = found[name][(..., *[slice(rim, -rim)] * axes)]
        return found

    def _kept(self, values: Values) -> dict[str, list[tuple[int, torch.Tensor]]]:
        places: dict[tuple[str, int], torch.Tensor] = {}
        for group, width in self.anatomy.widths(values):
            if width == group.width:
                continue
            for slot in group.slots:
                stays = slot.ranks < width
                before = places.get((slot.tensor, slot.axis))
                places[slot.tensor, slot.axis] = stays if before is None else before & stays
        found: dict[str, list[tuple[int, torch.Tensor]]] = {}
        device = next(self.net.parameters()).device
        for (name, axis), stays in places.items():
            found.setdefault(name, []).append((axis, stays.nonzero().flatten().to(device)))
        return found

    def _attributes(self, values: Values) -> dict[str, dict[str, Any]]:
        """What changes about modules besides their tensors, by their names."""
        found: dict[str, dict[str, Any]] = {}
        parts = dict(self.net.named_modules())
        for layer, side in self.anatomy.sides(values).items():
            part = parts[layer]
            rims = [(length - side) // 2 for length in part.kernel_size]
            found[layer] = {"kernel_size": (side,) * len(rims)}
            if not isinstance(part.padding, str):
                pads = zip(part.padding, rims, part.dilation, strict=True)
                found[layer]["padding"] = tuple(pad - rim * step for pad, rim, step in pads)
        for group, width in self.anatomy.widths(values):
            for name in group.layers:
                if getattr(parts[name], "groups", 1) > 1:
                    found.setdefault(name, {})["groups"] = width
        return found


@contextmanager
def _shaped(net: nn.Module, attributes: dict[str, dict[str, Any]]) -> Iterator[None]:
    """With `attributes` of the parts, until the block ends."""
    before = []
    try:
        for name, changed in attributes.items():
            part = net.get_submodule(name)
            for attribute, value in changed.items():
                before.append((part, attribute, getattr(part, attribute)))
                setattr(part, attribute, value)
        yield
    finally:
        for part, attribute, value in before:
            setattr(part, attribute, value)


def _describe(part: nn.Module) -> None:
    """Give a layer the attributes that say how large its tensors are."""
    if isinstance(part, nn.Linear):
        part.out_features, part.in_features = part.weight.shape
    elif isinstance(part, _NORM):
        held = next((tensor for tensor in (part.running_mean, part.weight) if tensor is not None), None)
        part.num_features = part.num_features if held is None else len(held)
    elif isinstance(part, nn.modules.conv._ConvNd):
        ends: Sequence[int] = part.weight.shape[:2]
        if part.groups > 1:
            part.in_channels = part.out_channels = ends[0]
        else:
            part.in_channels, part.out_channels = ends if part.transposed else ends[::-1]
