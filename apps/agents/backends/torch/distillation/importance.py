"""Which channels, heads and features of a transformer matter most, by what they compute for examples.

As in Minitron (Muralidharan et al. 2024, https://arxiv.org/abs/2407.14679): hidden channels by the mean size of what
norms give, the units inside blocks by what they add to the output of the layer that reads them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from apps.agents.backends.torch.distillation.channels import CHANNELS, UnitAxis
from apps.agents.backends.torch.width.blocks import numbered
from apps.agents.backends.torch.width.expressing import Inexpressible
from apps.agents.backends.torch.width.layer_inputs import Row, norms

Key = tuple[str, str]
"""A kind, and the block in which its units are chosen; empty if they are the same everywhere."""


@dataclass(frozen=True)
class Kept:
    """The units that stay, in ascending order."""

    units: Mapping[Key, Tensor]

    def __call__(self, kind: str, tensor: str) -> Tensor:
        own = self.units.get((kind, numbered(tensor)))
        return self.units[kind, ""] if own is None else own


def most_important(
    model: PreTrainedModel, axes: Sequence[UnitAxis], hidden: int, counts: Mapping[str, int], rows: Sequence[Row]
) -> Kept:
    """`counts` says how many units of each kind stay. Raises `Inexpressible` if no norm shows the channels."""
    meter = _Meter(model, axes, hidden)
    meter.run(rows)
    units, scores = {}, meter.scores()
    if (CHANNELS, "") not in scores:
        raise Inexpressible(f"it has no norm over its {hidden} hidden channels to rank them by")
    for key, score in scores.items():
        kept = torch.argsort(score, descending=True, stable=True)[: counts[key[0]]]
        units[key] = kept.sort().values
    return Kept(units)


@dataclass
class _Meter:
    """Adds up the sizes of what norms give and of what readers get."""

    model: PreTrainedModel
    axes: Sequence[UnitAxis]
    hidden: int
    sums: dict[str, Tensor] = field(default_factory=dict)
    """By layer: the sums of sizes over positions and examples."""

    @property
    def readers(self) -> dict[str, UnitAxis]:
        """The layers whose inputs are heads or features."""
        layers = {axis.tensor.removesuffix(".weight"): axis for axis in self.axes if axis.kind != CHANNELS}
        linear = {name for name, part in self.model.named_modules() if isinstance(part, nn.Linear)}
        return {name: axis for name, axis in layers.items() if name in linear and axis.place == 1}

    def run(self, rows: Sequence[Row]) -> None:
        watched = {id(part) for part in norms(self.model, self.hidden)}
        names = {name: part for name, part in self.model.named_modules() if id(part) in watched}
        hooks = [part.register_forward_hook(self._given(name)) for name, part in names.items()]
        hooks += [self.model.get_submodule(name).register_forward_pre_hook(self._got(name)) for name in self.readers]
        try:
            with torch.inference_mode():
                for row in rows:
                    self.model(**row)
        finally:
            for hook in hooks:
                hook.remove()

    def _given(self, name: str) -> Any:
        return lambda _layer, _got, output: self._add(name, output)

    def _got(self, name: str) -> Any:
        return lambda _layer, got: self._add(name, got[0])

    def _add(self, name: str, values: Tensor) -> None:
        sizes = values.float().abs().reshape(-1, values.shape[-1]).sum(0)
        self.sums[name] = self.sums[name] + sizes if name in self.sums else sizes

    def scores(self) -> dict[Key, Tensor]:
        """By kind and block. Each layer counts the same."""
        readers, found = self.readers, defaultdict[Key, list[Tensor]](list)
        for name, sums in self.sums.items():
            axis = readers.get(name)
            if axis is None:
                found[CHANNELS, ""].append(sums / sums.mean().clamp(min=1e-12))
                continue
            added = sums * self.model.get_submodule(name).weight.detach().float().norm(dim=0)
            per_unit = added.reshape(-1, axis.size).sum(1)
            block = numbered(name) if self._within_blocks(axis.kind) else ""
            found[axis.kind, block].append(per_unit / per_unit.mean().clamp(min=1e-12))
        return {key: torch.stack(parts).sum(0) for key, parts in found.items()}

    def _within_blocks(self, kind: str) -> bool:
        return all(numbered(axis.tensor) for axis in self.axes if axis.kind == kind)
