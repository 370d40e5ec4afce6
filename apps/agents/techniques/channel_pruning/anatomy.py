"""A model taken apart for pruning: the groups that may be cut, and what is left when they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic

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

    def uniform(self, macs_removed: float, multiple_of: int) -> Workload:
        """When every group keeps the same share of its channels."""
        widths = uniform(self.cuttable, self.work, macs_removed, multiple_of)
        return self.left(widths, self.kept({g.name: np.arange(g.width) for g in self.cuttable}, widths))

    def kept(self, orders: Mapping[str, Ids], widths: Widths) -> Kept:
        """The channels that stay when each group keeps the first of its order."""
        kept = everything(self.trace)
        for group in self.cuttable:
            kept = without(self.trace, kept, group.roots[orders[group.name][widths[group.name] :]])
        return kept
