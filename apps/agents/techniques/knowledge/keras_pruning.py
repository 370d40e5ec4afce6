"""Knowledge about structured pruning of Keras models: variants, cuts with training, and their losses.

Measured on a CNN for CIFAR-10 of 0.97 million parameters (`docs/pruning.md`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.kernels import Kind
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Cut, Outlook, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

LOSSES = ((0.0, 0.0), (0.3, 0.9), (0.5, 3.7), (0.7, 10.0), (0.95, 40.0))
"""Points lost by the share of the work removed, without training. Interpolated linearly; estimated from 0.7 on."""
UNCERTAIN = 3.0
"""How many times more another network may lose."""
UNFITTED = 10.0
"""How many times more is lost without compensation: estimated."""
_SHOWS = 0.9
"""Share of the removed work that shows in time."""
_CUT = frozenset({Kind.CONVOLUTION, Kind.DEPTHWISE, Kind.PRODUCT})


@dataclass(frozen=True)
class KerasPruning(TechniqueKnowledge):
    """Of work and weights alike: a dense layer computes little, and may have most of the weights."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if not _CUT & {node.kind for node in profile.nodes} or profile.attention:
            return
        for one in super().variants(spec, profile):
            share = one.parameters["macs_removed"]
            reason = f"Filters cut and the layers after them fitted again, without training: {share:.0%} of the work "
            parameters = {**one.parameters, "weights_removed": share}
            yield Variant(spec.name, parameters, f"{reason}and of the weights removed.", place=7)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        work, weights = (float(parameters[name]) for name in ("macs_removed", "weights_removed"))
        more = f", {weights:.0%} of the weights" if weights else ""
        return [f"{work:.0%} of the work{more} removed"]

    def outlook(self, parameters: Parameters, profile: GraphProfile) -> Outlook:
        """Speed and size from what goes, loss from measurements elsewhere."""
        removed, fewer = float(parameters["macs_removed"]), float(parameters["weights_removed"])
        drop = points_lost(removed) * (1.0 if parameters["compensate"] else UNFITTED)
        return Outlook(
            speedup=1 / (1 - _SHOWS * removed),
            size_ratio=1 / (1 - fewer) if fewer else 1.0,
            metric_drop_points=min(60.0, drop),
            metric_drop_high=min(60.0, UNCERTAIN * drop),
            basis=f"{removed:.0%} of the work removed; the loss is that of a convolutional network of 0.97 million "
            "parameters on small pictures, and no other model has been measured",
        )


def points_lost(removed: float) -> float:
    """By the share of the work that is removed, between the measured ones."""
    for (low, least), (high, most) in pairwise(LOSSES):
        if removed <= high:
            return least + (most - least) * (removed - low) / (high - low)
    return LOSSES[-1][1]


STRUCTURED = KerasPruning(
    one_at_a_time=True,
    hands_on_to=("quantization",),
    cuts=(
        Cut({"macs_removed": 0.5, "weights_removed": 0.5}, removed=0.5, lost_points=0.9),
        Cut({"macs_removed": 0.7, "weights_removed": 0.7}, removed=0.7, lost_points=2.0),
    ),
    cost_rule=CostRule(
        "estimated from a CNN for CIFAR-10: layers are fitted one after the other, each on a run of both networks",
        fixed_s=4.0,
        passes=10.0,
    ),
)
