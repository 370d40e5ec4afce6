"""Knowledge about low-rank decomposition: which models it suits, and what it gains and loses.

Measured on the samples' ResNet (`docs/decomposition.md`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.kernels import Kind
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Outlook, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

LOSSES = ((0.0, 0.0), (0.4, 0.1), (0.6, 0.3), (0.8, 2.0), (0.95, 20.0))
"""Points lost by the share of the multiply-accumulates removed, weighted. Interpolated linearly."""
UNCERTAIN = 5.0
"""How many times more another network may lose."""
PLAIN = 4.0
"""How many times more is lost without weighting."""
_REPLACED = frozenset({Kind.CONVOLUTION, Kind.PRODUCT})
_SHOWS = 0.85
"""Share of the removed work that shows in time: factors with little gain are left out by measurement."""


@dataclass(frozen=True)
class Decomposition(TechniqueKnowledge):
    """Of dense convolutions and products with stored weights."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if profile.generative or profile.attention or not _reached(profile):
            return  # What attention networks lose without training was not measured.
        for one in super().variants(spec, profile):
            reason = f"Layers replaced by smaller factors, without training: {one.parameters['removed']:.0%} removed."
            yield Variant(spec.name, one.parameters, reason, place=8)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        what = {"macs": "the work", "bytes": "the weights", "latency": "the layers' time"}[str(parameters["budget"])]
        parts = [f"{float(parameters['removed']):.0%} of {what} removed"]
        return parts + ([] if parameters["form"] == "auto" else [str(parameters["form"])])

    def outlook(self, parameters: Parameters, profile: GraphProfile) -> Outlook:
        """Speed from the work removed, size likewise; loss from other measurements."""
        nodes = [node for node in profile.nodes if node.kind in _REPLACED]
        time = min(1.0, sum(node.time_share for node in nodes))
        weights = min(1.0, sum(node.weight_bytes for node in nodes) / max(1, profile.size_bytes))
        removed = float(parameters["removed"])
        drop = points_lost(removed) * (1.0 if parameters["weighted"] else PLAIN)
        return Outlook(
            speedup=1 / max(0.05, 1 - time * _SHOWS * removed),
            size_ratio=1 / max(0.05, 1 - weights * removed),
            metric_drop_points=min(60.0, drop),
            metric_drop_high=min(60.0, UNCERTAIN * drop),
            basis=f"{removed:.0%} of the work removed; the loss is that of a residual network of 1.2 million "
            "parameters, and other networks may have less to spare",
        )


def points_lost(removed: float) -> float:
    """Points lost by the share of the multiply-accumulates removed, interpolated between measurements."""
    for (low, least), (high, most) in pairwise(LOSSES):
        if removed <= high:
            return least + (most - least) * (removed - low) / (high - low)
    return LOSSES[-1][1]


def _reached(profile: GraphProfile) -> bool:
    return any(node.kind in _REPLACED for node in profile.nodes)


_COST = CostRule(
    "covariances are measured, factors are made and timed, and each layer's loss is measured at the output",
    fixed_s=10.0,
    passes=20.0,
)
_PRUNED_LATER = "It cuts channels, and those between factors are few already; prune first, then decompose."
DECOMPOSED_ONNX = Decomposition(
    one_at_a_time=True,
    hands_on_to=("quantization",),
    forbids=(("pruning", _PRUNED_LATER),),
    cost_rule=_COST,
)
DECOMPOSED_TORCH = DECOMPOSED_KERAS = DECOMPOSED_ONNX
