"""Knowledge about weight clustering: the download shrinks, and nothing becomes faster.

Losses and sizes were measured on the samples (`docs/techniques.md`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Outlook, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

FLOAT_BITS = 29.5
"""What a float32 weight takes in a compressed file."""
MORE_BITS = 0.6
"""What a compressed weight takes beyond the logarithm of the clusters: Zstandard codes strings of bytes."""
POINTS = 0.6
"""Lost with 16 clusters. Twice as many clusters make a quarter of the noise."""
UNCERTAIN = 5.0
"""How many times that another model may lose."""


@dataclass(frozen=True)
class Clustering(TechniqueKnowledge):
    """Planned with 4 bits a weight, and with more where that may lose too much."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        for clusters in (16, 64):
            reason = f"The weights of each tensor share {clusters} values; only the download shrinks."
            yield Variant(spec.name, {"clusters": clusters}, reason)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return [f"{parameters.get('clusters', 16)} values"]

    def outlook(self, parameters: Parameters, profile: GraphProfile) -> Outlook | None:
        """The file keeps its size and speed; the compressed one follows from the bits of a cluster's number."""
        weights = sum(node.weight_bytes for node in profile.nodes)
        if not weights:
            return None
        clusters = int(parameters.get("clusters", 16))
        share = min(1.0, weights / max(1, profile.size_bytes))
        left = 1 - share * (1 - (math.log2(clusters) + MORE_BITS) / FLOAT_BITS)
        drop = POINTS * (16 / clusters) ** 2
        return Outlook(
            speedup=1.0,
            size_ratio=1.0,
            compressed_ratio=1 / max(0.05, left),
            metric_drop_points=drop,
            metric_drop_high=UNCERTAIN * drop,
            basis=f"the weights of {share:.0%} of the file share {clusters} values for each tensor, so only the "
            "compressed file becomes smaller",
        )


_NOT_SHARED = "It makes new weights, which no longer share values."
CLUSTERING = Clustering(
    only_compressed=True,
    forbids=(
        ("pruning", _NOT_SHARED),
        ("training", _NOT_SHARED),
        ("distillation", _NOT_SHARED),
        ("compression", _NOT_SHARED),
        ("graph optimization", "It folds norms into weights, which then no longer share values."),
    ),
    cost_rule=CostRule("weights are sorted and clustered", per_million_s=1.0),
)
