"""Plans the cut: ranks channels, measures what the output loses without each group, and chooses widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.backends.onnx.pruning.anatomy import OnnxAnatomy
from apps.agents.backends.onnx.pruning.flow import Flow
from apps.agents.backends.onnx.pruning.sensitivity import sensitivities
from apps.agents.backends.onnx.pruning.statistics import making_energies, readings
from apps.agents.techniques.channel_pruning.allocation import by_sensitivity, uniform
from apps.agents.techniques.channel_pruning.plan import CutPlan
from apps.agents.techniques.channel_pruning.selection import Ranking, rank

SENSITIVITY_EXAMPLES = 128
_RANKED = 0.3
"""The share of the progress bar for ranking channels."""


@dataclass(frozen=True)
class Choice:
    """What every cut of one model depends on: the order of each group's channels, and what the output loses."""

    anatomy: OnnxAnatomy
    rankings: Mapping[str, Ranking]
    sensitivity: Mapping[str, float] | None
    """By group; `None` if every group keeps the same share."""
    multiple_of: int

    def cut(self, macs_removed: float) -> CutPlan:
        """The cut that removes this share of the multiply-accumulates."""
        groups, work = self.anatomy.cuttable, self.anatomy.work
        if self.sensitivity is None:
            widths = uniform(groups, work, macs_removed, self.multiple_of)
        else:
            widths = by_sensitivity(groups, work, self.rankings, self.sensitivity, macs_removed, self.multiple_of)
        kept = self.anatomy.kept({name: one.order for name, one in self.rankings.items()}, widths)
        return CutPlan(widths, kept, self.sensitivity or {})


@dataclass(frozen=True)
class Planner:
    """Plans a cut of one model by the technique's `parameters`."""

    anatomy: OnnxAnatomy
    flow: Flow
    parameters: Mapping[str, Any]
    seed: int

    def look(self, tell: Callable[[float, str], None]) -> Choice:
        """Two passes over calibration examples: how channels vary, and what the output loses."""
        trace, groups = self.anatomy.trace, self.anatomy.cuttable
        tell(0.0, f"looking at the channels of {len(groups)} groups")
        read = readings(trace, groups, self.flow, self.seed)
        rankings = {
            group.name: rank(group, read[group.name], making_energies(trace, group), str(self.parameters["importance"]))
            for group in groups
        }
        found = None
        if self.parameters["allocation"] != "uniform":
            few = self.flow.fewer(SENSITIVITY_EXAMPLES)
            found = sensitivities(
                trace, groups, read, rankings, few, lambda share, what: tell(_RANKED + (1 - _RANKED) * share, what)
            )
        return Choice(self.anatomy, rankings, found, int(self.parameters["multiple_of"]))
