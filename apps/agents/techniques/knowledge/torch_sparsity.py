"""Knowledge about sparsity: zeros shrink compressed files, and nothing becomes faster.

Losses of language models were measured on stories15M, a Llama of 15 million parameters (`docs/pruning.md`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.profile import GraphProfile, Node
from apps.agents.techniques.knowledge.tables import TABLES
from apps.agents.techniques.knowledge.technique import Baseline, Outlook, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

PLACES = 0.065
"""The compressed bytes that encode where the zeros are, as a share of those of all weights: DEFLATE makes normally
distributed float32 weights 1.08 times smaller, with half of them zero 1.87 times, and with 80 % zero 4.1 times."""
GROWTH = 4.0
UNCERTAIN = 2.0
"""How many times that another model may lose."""
_LINEAR, _PAIRS = "Linear", "2:4"


@dataclass(frozen=True)
class Zeros(TechniqueKnowledge):
    """Planned with half and with less of the weights zero; 2:4 only on request, as no CPU computes it faster."""

    kinds: frozenset[str] = frozenset({_LINEAR})
    """The operators whose weights become zero."""
    points: float = 0.0
    """Lost with half of the weights zero, of a metric that is a share: an estimate."""
    nats: float = 0.0
    """Lost the same way by a language model, per token."""
    reason: str = ""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if self.kinds & profile.operators:
            for share in (0.5, 0.3):
                yield Variant(spec.name, {"sparsity": share}, self.reason)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        paired = parameters.get("pattern") == _PAIRS
        return ["2:4 zeros" if paired else f"{_share(parameters):.0%} zeros"]

    def reaches(self, node: Node) -> bool:
        return not node.head

    def outlook(self, parameters: Parameters, profile: GraphProfile) -> Outlook:
        """The file keeps its size and speed. The loss grows as a power of the share."""
        share = _share(parameters)
        weights = sum(node.weight_bytes for node in profile.nodes if node.op_type in self.kinds and not node.head)
        gone = min(1.0, weights / max(1, profile.size_bytes)) * max(0.0, share - PLACES)
        grown = (share / 0.5) ** GROWTH
        drop = TABLES.perplexity_lost(self.nats * grown) if profile.perplexity else self.points * grown
        return Outlook(
            speedup=1.0,
            size_ratio=1.0,
            compressed_ratio=1 / max(0.05, 1 - gone),
            metric_drop_points=drop,
            metric_drop_high=UNCERTAIN * drop,
            basis=f"{share:.0%} of the weights of {weights / max(1, profile.size_bytes):.0%} of the file become zeros "
            "and keep their places, so only the compressed file becomes smaller",
        )


def _share(parameters: Parameters) -> float:
    return 0.5 if parameters.get("pattern") == _PAIRS else float(parameters.get("sparsity", 0.5))


def _alike(parameters: Parameters) -> Hashable:
    """The pattern, the share, and the modules that stay dense."""
    kept = tuple(sorted(str(name) for name in parameters.get("keep_dense", ())))
    return str(parameters.get("pattern", "unstructured")), float(parameters.get("sparsity", 0.5)), kept


BEATS_MAGNITUDE = Baseline(
    technique="torch-magnitude",
    label="magnitude pruning",
    done="pruned by magnitude to the same share",
    effort="calibration",
    alike=_alike,
)
_ZEROS_STAY = (("distillation", "It trains every weight, so zeros would not stay zero."),)
_MEASURED = "as measured on a Llama of 15 million parameters"
MAGNITUDE = Zeros(
    forbids=_ZEROS_STAY,
    kinds=frozenset({_LINEAR, "Conv1d", "Conv2d", "Conv3d"}),
    points=2.0,
    nats=1.32,
    cost_rule=CostRule(f"weights are sorted and written, {_MEASURED}", per_million_s=0.5),
    reason="The smallest weights become zero. Wanda and SparseGPT have to beat it.",
)
WANDA = Zeros(
    forbids=_ZEROS_STAY,
    points=1.5,
    nats=0.76,
    cost_rule=CostRule(f"each layer and each block is run, {_MEASURED}", per_million_s=0.5, passes=8.0),
    baseline=BEATS_MAGNITUDE,
    reason="Weights become zero where weight times input is smallest.",
)
SPARSE_GPT = Zeros(
    forbids=_ZEROS_STAY,
    points=1.0,
    nats=0.56,
    cost_rule=CostRule(f"each layer and each block is run, {_MEASURED}", per_million_s=1.0, passes=8.0),
    baseline=BEATS_MAGNITUDE,
    reason="Weights become zero column by column, and the rest of each row compensates for them.",
)
