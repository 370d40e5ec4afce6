"""A model taken apart for pruning: the groups that may be cut, and what is left when they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from apps.agents.techniques.channel_pruning.allocation import Widths, Work, uniform
from apps.agents.techniques.channel_pruning.channels import Ids, Kept
from apps.agents.techniques.channel_pruning.groups import AnyLayer, Group, Traced, everything, without
from apps.agents.techniques.pruning import Workload


@dataclass(frozen=True)
class Anatomy(ABC, Generic[AnyLayer]):
    """A traced model with what was found out about it."""

    trace: Traced[AnyLayer]
    cuttable: tuple[Group, ...]
    uncut: tuple[Group, ...]
    work: Work
    """Multiply-accumulates."""
    stored: Work
    """Numbers in kernels, in the place of multiply-accumulates."""
    parameters: int

    @abstractmethod
    def parameters_gone(self, kept: Kept) -> int:
        """How many stored numbers go when these channels are kept."""

    @property
    def whole(self) -> Workload:
        """Before anything is cut."""
        return self.left({group.name: group.width for group in self.cuttable}, everything(self.trace))

    def left(self, widths: Widths, kept: Kept) -> Workload:
        """When each group has this width and these channels are kept."""
        left = self.parameters - self.parameters_gone(kept)
        return Workload(round(self.work.left(widths)), left, sum(widths.values()))

    def left_of(self, widths: Widths) -> Workload:
        """When each group has this width, whichever channels they are."""
        return self.left(widths, self.kept({g.name: np.arange(g.width) for g in self.cuttable}, widths))

    def uniform_widths(self, targets: Sequence[tuple[Work, float]], multiple_of: int) -> Widths:
        """Widths at which of each work at least the share that belongs to it is gone, if multiples allow that."""
        found = [uniform(self.cuttable, work, asked, multiple_of) for work, asked in targets]
        return {name: min(widths[name] for widths in found) for name in found[0]}

    def targets(self, parameters: Mapping[str, Any]) -> tuple[tuple[Work, float], ...]:
        """Of each work the share to remove, by `macs_removed` and `weights_removed`."""
        return (self.work, float(parameters["macs_removed"])), (self.stored, float(parameters["weights_removed"]))

    def kept(self, orders: Mapping[str, Ids], widths: Widths) -> Kept:
        """The channels that stay when each group keeps the first of its order."""
        kept = everything(self.trace)
        for group in self.cuttable:
            kept = without(self.trace, kept, group.roots[orders[group.name][widths[group.name] :]])
        return kept
