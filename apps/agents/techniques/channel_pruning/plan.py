"""Plans the cut: ranks channels, measures what the output loses without each group, and chooses widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.channel_pruning.allocation import Widths, by_sensitivity
from apps.agents.techniques.channel_pruning.anatomy import Anatomy
from apps.agents.techniques.channel_pruning.channels import Kept
from apps.agents.techniques.channel_pruning.groups import AnyLayer, Group
from apps.agents.techniques.channel_pruning.readings import Reading
from apps.agents.techniques.channel_pruning.selection import Ranking, rank
from apps.agents.techniques.pruning import channels_by_layer

Tell = Callable[[float, str], None]
_RANKED = 0.3
"""The share of the progress bar for ranking channels."""


class Measurer(Protocol):
    """What a backend measures of the whole model on calibration examples."""

    def readings(self, groups: Sequence[Group]) -> Mapping[str, Sequence[Reading]]:
        """What layers read of each group, by the group's name."""

    def made(self, group: Group) -> Sequence[Matrix]:
        """`readings.making_energy` of each layer that makes the group's channels."""

    def noise(self, group: Group, read: Sequence[Reading], ranking: Ranking, kept: int) -> float:
        """Noise over signal at the output if the first `kept` of the ranking predict the rest of the group."""


@dataclass(frozen=True)
class CutPlan:
    """The cut: widths, and the channels that stay."""

    widths: Widths
    kept: Kept
    sensitivity: Mapping[str, float]
    """Noise over signal at the output by group, per unit of what its readers lose; empty if not measured."""

    def evidence(self, anatomy: Anatomy[AnyLayer]) -> dict[str, Any]:
        """Channels per layer, groups with their sensitivities, and uncut groups with reasons, as plain JSON."""
        layers = channels_by_layer(
            (layer.name, len(layer.ids_out), int(self.kept[layer.ids_out].sum())) for layer in anatomy.trace.layers
        )
        groups = [
            {
                "name": group.name,
                "width": group.width,
                "kept": self.widths[group.name],
                "sensitivity": self.sensitivity.get(group.name),
            }
            for group in anatomy.cuttable
        ]
        uncut = [{"name": group.name, "width": group.width, "reason": group.reason} for group in anatomy.uncut]
        return {"channels_by_layer": layers, "groups": groups, "uncut": uncut}


@dataclass(frozen=True)
class Choice(Generic[AnyLayer]):
    """What every cut of one model depends on: the order of each group's channels, and what the output loses."""

    anatomy: Anatomy[AnyLayer]
    rankings: Mapping[str, Ranking]
    sensitivity: Mapping[str, float] | None
    """By group; `None` if every group keeps the same share."""

    def cut(self, parameters: Mapping[str, Any]) -> CutPlan:
        """The cut that removes the shares asked for in widths that are multiples of `multiple_of`."""
        anatomy, multiple = self.anatomy, int(parameters["multiple_of"])
        targets = anatomy.targets(parameters)
        if self.sensitivity is None:
            widths = anatomy.uniform_widths(targets, multiple)
        else:
            widths = {group.name: group.width for group in anatomy.cuttable}
            for work, asked in targets:
                widths = by_sensitivity(
                    anatomy.cuttable, work, self.rankings, self.sensitivity, asked, multiple, widths
                )
        kept = anatomy.kept({name: one.order for name, one in self.rankings.items()}, widths)
        return CutPlan(widths, kept, self.sensitivity or {})


def choose(
    anatomy: Anatomy[AnyLayer], measurer: Measurer, parameters: Mapping[str, Any], tell: Tell
) -> Choice[AnyLayer]:
    """Two passes over calibration examples: how channels vary, and what the output loses.

    `parameters` are the technique's; `importance` and `allocation` count here.
    """
    groups = anatomy.cuttable
    tell(0.0, f"looking at the channels of {len(groups)} groups")
    read = measurer.readings(groups)
    importance = str(parameters["importance"])
    rankings = {group.name: rank(group, read[group.name], measurer.made(group), importance) for group in groups}
    uniform = parameters["allocation"] == "uniform"
    return Choice(anatomy, rankings, None if uniform else sensitivities(groups, measurer, read, rankings, tell))


KEPT_SHARE = 0.5
"""The share of a group's channels that stays while its sensitivity is measured."""


def sensitivities(
    groups: Sequence[Group],
    measurer: Measurer,
    read: Mapping[str, Sequence[Reading]],
    rankings: Mapping[str, Ranking],
    tell: Tell,
) -> dict[str, float]:
    """Noise over signal at the output by group, per unit of what its readers lose (`Ranking.loss`)."""
    found = {}
    for number, group in enumerate(groups):
        tell(_RANKED + (1 - _RANKED) * number / len(groups), f"what the output loses without half of {group.name}")
        kept, ranking = max(1, round(KEPT_SHARE * group.width)), rankings[group.name]
        noise = measurer.noise(group, read[group.name], ranking, kept)
        found[group.name] = noise / max(float(ranking.loss[kept]), 1e-4)
    return found
