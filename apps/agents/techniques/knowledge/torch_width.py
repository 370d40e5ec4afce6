"""Knowledge about narrowing transformers: variants, their gains and losses.

Losses are those of MiniLM's embeddings (Spearman's correlation × 100, `docs/pruning.md`), with a margin, because other
metrics are less forgiving.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.kernels import Kind
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Cut, Outlook, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

FEED_FORWARD_SHARE = 2 / 3
"""The share of the linear layers' weights and work, if feed-forward blocks are four times as wide as their inputs."""
POINTS_PER_SHARE = 3.0
"""Points lost per share of the features, with compensation: 1.5 for half of them."""
UNCERTAIN = 4.0
UNFITTED = 5.0
"""How many times more another network may lose, and how many times more is lost without compensation."""
_BASIS = "the loss is that of MiniLM's embeddings, and no other model has been measured"
_CUT_BASIS = f"The cut's share is that of MiniLM; {_BASIS}."
_DEEPER = "MiniLM was measured without half of its features; the loss of a deeper cut is a guess."
_TRAINING = {"learning_rate": 1e-4, "batch_size": 16}
"""At five times this rate, the compensated MiniLM only got worse."""


@dataclass(frozen=True)
class Width(TechniqueKnowledge):
    """Plans cuts of feed-forward blocks, which every architecture can store. Heads are cut only on request."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        """None for models that predict tokens, whose losses have not been measured, and none for convolutional ones."""
        if profile.generative or profile.product_share <= profile.convolution_share:
            return
        for one in super().variants(spec, profile):
            reason = f"{one.parameters['removed']:.0%} of the features of feed-forward blocks cut, without training."
            yield Variant(spec.name, one.parameters, reason, place=7)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        removed, what, compensate = _asked(parameters)
        parts = [f"{removed:.0%} of {_UNITS[what]} removed"]
        return parts if compensate else [*parts, "not compensated"]

    def outlook(self, parameters: Parameters, profile: GraphProfile) -> Outlook:
        """Speed and size from the removed share of the linear layers."""
        removed, what, compensate = _asked(parameters)
        nodes = [node for node in profile.nodes if node.kind is Kind.PRODUCT]
        time = sum(node.time_share for node in nodes)
        weights = sum(node.weight_bytes for node in nodes) / max(1, profile.size_bytes)
        gone = removed * _SHARES[what]
        drop = POINTS_PER_SHARE * removed * (1.0 if compensate else UNFITTED)
        return Outlook(
            speedup=1 / max(0.05, 1 - min(1.0, time) * gone),
            size_ratio=1 / max(0.05, 1 - min(1.0, weights) * gone),
            metric_drop_points=drop,
            metric_drop_high=min(60.0, UNCERTAIN * drop),
            basis=f"{gone:.0%} of the work of linear layers removed; {_BASIS}",
        )


_UNITS = {"feed-forward": "the feed-forward features", "heads": "the heads", "both": "heads and feed-forward features"}
_SHARES = {"feed-forward": FEED_FORWARD_SHARE, "heads": 1 - FEED_FORWARD_SHARE, "both": 1.0}


def _asked(parameters: Parameters) -> tuple[float, str, bool]:
    """The share, what it is a share of, and whether it is compensated. Variants state only some of them."""
    what, compensate = parameters.get("what", "feed-forward"), parameters.get("compensate", True)
    return float(parameters["removed"]), str(what), bool(compensate)


WIDTH = Width(
    cuts=(
        Cut({"removed": 0.5}, removed=0.33, lost_points=1.0, basis=_CUT_BASIS, training=_TRAINING),
        Cut({"removed": 0.75}, removed=0.5, lost_points=3.0, basis=_DEEPER, training=_TRAINING),
    ),
    one_at_a_time=True,
    hands_on_to=("quantization",),
    cost_rule=CostRule(
        "layers are fitted one after the other, each on a run of both models, as measured on MiniLM",
        fixed_s=3.0,
        per_million_s=0.6,
        passes=10.0,
    ),
)
