"""The anatomy of a model for pruning: the groups that can be cut, and the work and weights that remain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from apps.agents.techniques.channel_pruning.allocation import Widths, Work, uniform
from apps.agents.techniques.channel_pruning.channels import Ids, Kept
from apps.agents.techniques.channel_pruning.groups import AnyLayer, Group, Traced, everything, without
from apps.agents.techniques.reduction import Workload


@dataclass(frozen=True)
class Anatomy(ABC, Generic[AnyLayer]):
    """A traced model and the findings about it."""

    trace: Traced[AnyLayer]
    cuttable: tuple[Group, ...]
    uncut: tuple[Group, ...]
    work: Work
    """Multiply-accumulates."""
    parameters: int

    @abstractmethod
    def parameters_gone(self, kept: Kept) -> int:
        """How many stored numbers are removed if only these channels are kept."""

    @property
    def whole(self) -> Workload:
        """Before anything is cut."""
        return self.left({group.name: group.width for group in self.cuttable}, everything(self.trace))

    def left(self, widths: Widths, kept: Kept) -> Workload:
        """The workload if the groups have these widths and these channels are kept."""
        left = self.parameters - self.parameters_gone(kept)
        return Workload(round(self.work.left(widths)), left, sum(widths.values()))

    def left_of(self, widths: Widths) -> Workload:
        """The workload if the groups have these widths, whichever channels are kept."""
        return self.left(widths, self.kept({g.name: np.arange(g.width) for g in self.cuttable}, widths))

    def uniform_widths(self, targets: Sequence[tuple[Work, float]], multiple_of: int) -> Widths:
        """Widths at which each work has lost at least its share, if multiples allow that."""
        found = [uniform(self.cuttable, work, asked, multiple_of) for work, asked in targets]
        return {name: min(widths[name] for widths in found) for name in found[0]}

    def targets(self, parameters: Mapping[str, Any]) -> tuple[tuple[Work, float], ...]:
        """Each work with the share of it to remove."""
        return ((self.work, float(parameters["macs_removed"])),)

    def kept(self, orders: Mapping[str, Ids], widths: Widths) -> Kept:
        """The channels that stay if each group keeps the first ones in its order."""
        kept = everything(self.trace)
        for group in self.cuttable:
            kept = without(self.trace, kept, group.roots[orders[group.name][widths[group.name] :]])
        return kept
