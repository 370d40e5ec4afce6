"""Chooses units, and fits the layers that read them again, block by block in the order of the model.

Nothing is cut yet: the weights that read a removed unit become zero. The model keeps its shapes, so any architecture
still runs, and the smaller model can be compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from apps.agents.backends.torch.width.blocks import Block
from apps.agents.backends.torch.width.layer_inputs import Row, Watcher
from apps.agents.backends.torch.width.selection import Units, features_of, kept_units
from apps.agents.measuring.statistics.least_squares import fit
from apps.agents.measuring.statistics.moments import Moments

PORTION = 32
"""Examples per matrix product of the moments."""


@dataclass(frozen=True)
class Manner:
    """How units are chosen, and whether layers are fitted again."""

    importance: str
    compensate: bool
    ridge: float


@dataclass(frozen=True)
class Narrowed:
    """The result for one block."""

    reader: str
    kept: Units
    error_before: float | None = None
    """The share of the output's variance that is lost with the old weights; `None` without a fit."""
    error: float | None = None


@dataclass(frozen=True)
class Narrowing:
    """Narrows the blocks of `student`, a copy of `original`, in place. `rows` are calibration examples."""

    original: nn.Module
    student: nn.Module
    rows: Sequence[Row]
    manner: Manner

    def narrow(self, block: Block, count: int) -> Narrowed:
        """Keep `count` units of `block`. The blocks before it must have been narrowed already."""
        layer = self.student.get_submodule(block.reader)
        assert isinstance(layer, nn.Linear)
        moments = self._moments(block) if layer.bias is not None else self._moments(block).about_zero()
        weight, size = layer.weight.detach().double().numpy(), block.sizes[block.reader]
        ridge, importance = self.manner.ridge, self.manner.importance
        units = kept_units(moments.gram[0], weight, size, count, ridge, importance)
        places = features_of(units, size)
        if not self.manner.compensate:
            _keep(layer, places, weight[:, places], None)
            return Narrowed(block.reader, units)
        fitted = fit(moments.of_features(places), weight[None][:, :, places], ridge)
        _keep(layer, places, fitted.weight[0], fitted.bias[0])
        return Narrowed(block.reader, units, fitted.error_before, fitted.error)

    def _moments(self, block: Block) -> Moments:
        """The moments of the inputs of the student's layer and of its targets.

        The target is the original's sum after the layer, minus the student's other branch.
        """
        student, original = (Watcher(module, block.reader) for module in (self.student, self.original))
        student.settle(self.rows[0])
        original.through_norm = student.through_norm
        moments = Moments()
        for some in _portions(self.rows):
            pairs = [(student.see(row), original.see(row)) for row in some]
            read = torch.cat([seen.read for seen, _ in pairs])
            target = torch.cat([wanted.summed - (seen.summed - seen.given) for seen, wanted in pairs])
            moments.add(read.float().numpy()[None], target.float().numpy()[None])
        return moments


def _portions(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), PORTION):
        yield rows[start : start + PORTION]


def _keep(layer: nn.Linear, places: Units, weight: np.ndarray, bias: np.ndarray | None) -> None:
    """Give the layer `weight` in the columns `places`, and zeros in all others."""
    whole = np.zeros(tuple(layer.weight.shape))
    whole[:, places] = weight
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(whole))
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
