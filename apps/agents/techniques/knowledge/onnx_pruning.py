"""Knowledge about structured pruning of ONNX files: variants without training, deeper cuts with it, their effects.

Measured on the samples' ResNet (one thread, AVX-512; `docs/pruning.md`): time follows the widths as much as the work,
as ONNX Runtime computes convolutions in blocks of 16 channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.kernels import Kind
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.speed_goal import goals_in_words, speedup_asked
from apps.agents.techniques.knowledge.technique import Cut, Outlook, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

LOSSES = ((0.0, 0.0), (0.3, 0.15), (0.5, 0.35), (0.6, 0.35), (0.7, 0.6), (0.8, 1.5), (0.95, 20.0))
"""Points lost by the share of the multiply-accumulates removed, with compensation. Interpolated linearly."""
UNCERTAIN = 4.0
"""How many times more another network may lose: the depthwise sample lost up to twice as much."""
UNFITTED = 60.0
"""How many times more is lost without compensation."""
_CUT = frozenset({Kind.CONVOLUTION, Kind.DEPTHWISE, Kind.PRODUCT})
_BLOCKED = {16: 1.0, 8: 0.75}
"""Share of the removed work that shows in time, by what widths are multiples of; others are slow."""
_ODD = 0.35
_MOST = 0.95
"""The largest share that can be removed."""
_WHY = "Channels cut and the layers after them fitted again, without training"


@dataclass(frozen=True)
class StructuredPruning(TechniqueKnowledge):
    """Of convolutions and products whose channels can be followed."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if not self.cuts_suit(profile):
            return
        for one in super().variants(spec, profile):
            share, multiple = one.parameters["macs_removed"], one.parameters["multiple_of"]
            reason = f"{_WHY}: {share:.0%} of the work removed, widths in multiples of {multiple}."
            yield Variant(spec.name, one.parameters, reason, place=7)

    def cuts_suit(self, profile: GraphProfile) -> bool:
        return bool(_CUT & {node.kind for node in profile.nodes}) and not (profile.generative or profile.attention)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        removed = f"{parameters['macs_removed']:.0%} of the work removed"
        return [*(goals_in_words(parameters) or [removed]), f"widths in multiples of {parameters['multiple_of']}"]

    def outlook(self, parameters: Parameters, profile: GraphProfile) -> Outlook:
        """Speed from the work removed, minus the cost of odd widths; size likewise; loss from other measurements.

        If a speed is asked for, the share that should reach it is predicted to be removed.
        """
        nodes = [node for node in profile.nodes if node.kind in _CUT]
        time = min(1.0, sum(node.time_share for node in nodes))
        weights = sum(node.weight_bytes for node in nodes) / max(1, profile.size_bytes)
        shows = time * _BLOCKED.get(int(parameters["multiple_of"]), _ODD)
        asked = speedup_asked(parameters, profile.latency_ms)
        removed = min(_MOST, (1 - 1 / asked) / max(shows, 0.01)) if asked > 1 else float(parameters["macs_removed"])
        drop = points_lost(removed) * (1.0 if parameters["compensate"] else UNFITTED)
        return Outlook(
            speedup=1 / max(0.05, 1 - shows * removed),
            size_ratio=1 / max(0.05, 1 - min(1.0, weights) * removed),
            metric_drop_points=min(60.0, drop),
            metric_drop_high=min(60.0, UNCERTAIN * drop),
            basis=f"{removed:.0%} of the work removed in widths of {parameters['multiple_of']}; the loss is that of a "
            "residual network of 1.2 million parameters, and no other model has been measured",
        )


def points_lost(removed: float) -> float:
    """Points lost by the share of the multiply-accumulates removed, interpolated between measurements."""
    for (low, least), (high, most) in pairwise(LOSSES):
        if removed <= high:
            return least + (most - least) * (removed - low) / (high - low)
    return LOSSES[-1][1]


_MEASURED = "The cut's numbers are those of the sample ResNet, trained for one minute on 1,800 pictures."
STRUCTURED = StructuredPruning(
    one_at_a_time=True,
    hands_on_to=("quantization",),
    hands_on_over=("compression",),
    cuts=(
        Cut({"macs_removed": 0.8}, removed=0.8, lost_points=1.3, basis=_MEASURED),
        Cut({"macs_removed": 0.9}, 0.9, 2.2, _MEASURED, training={"learning_rate": 0.001}),
    ),
    cost_rule=CostRule(
        "layers are fitted one after the other, each on a run of both networks, as measured on the sample ResNet",
        fixed_s=2.0,
        passes=65.0,
    ),
)
