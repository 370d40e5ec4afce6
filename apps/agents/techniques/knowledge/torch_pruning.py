"""Knowledge about pruning PyTorch models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.speed_goal import goals_in_words
from apps.agents.techniques.knowledge.technique import Cut, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec


class Structured(TechniqueKnowledge):
    """Without training, the cut model is nearly useless, so no candidate consists of the cut alone."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        return iter(())

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        removed = f"{float(parameters['macs_removed']):.0%} of the multiply-accumulates removed"
        parts = goals_in_words(parameters) or [removed]
        usual = {one.name: one.default for one in spec.parameters}
        if side := parameters.get("kernel_side"):
            parts.append(f"kernels of at most {side} × {side}")
        named = ("importance", "scope", "schedule")
        return parts + [str(parameters[name]) for name in named if parameters[name] != usual[name]]


_MANY = 20_000
"""Examples from which a network can learn nearly everything anew."""
_FASTER = {"learning_rate": 0.003}
"""Where so little of the original's weights is left, and training is long."""
_AGAIN = "Estimated from a residual network on small images, which lost nothing with 96 % of its work removed."
_SMALL_KERNELS = {"macs_removed": 0.98, "kernel_side": 3}
"""With kernels of 3 × 3 instead of 5 × 5, twice as many channels stay for the same work, and for less time: the
residual sample became 28 times faster in ONNX Runtime, with large kernels 24 times (two cores, AVX2)."""
_DEEP = Cut(_SMALL_KERNELS, 0.98, 0.7, _AGAIN, training=_FASTER, examples=_MANY, passes=5.0, long=True)
_FALLBACK = Cut({"macs_removed": 0.95}, 0.95, 0.3, _AGAIN, training=_FASTER, examples=_MANY, passes=2.0)
STRUCTURED = Structured(
    cuts=(
        Cut({"macs_removed": 0.7}, removed=0.7, lost_points=0.8),
        Cut({"macs_removed": 0.9}, removed=0.9, lost_points=2.0),
        _FALLBACK,
        _DEEP,
    )
)
"""Losses of a residual network on Fashion-MNIST, trained again for minutes. With 42,000 pictures and 11 passes over
them, it lost nothing with 4 % of its work; the two cuts that need many examples are estimated from that."""
