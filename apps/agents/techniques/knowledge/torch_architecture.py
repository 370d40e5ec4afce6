"""Knowledge about the search for smaller architectures of PyTorch models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Cut, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec


class Searched(TechniqueKnowledge):
    """It takes minutes and needs examples to train on, so it is planned as a cut, with a training behind it."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        return iter(())

    def searches_with(self, parameters: Parameters) -> bool:
        return not parameters.get("network")

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        parts = [f"at most {float(parameters['latency_left']):.0%} of the latency"]
        steps, minutes = int(parameters["steps"]), float(parameters["minutes"])
        parts.append(f"{steps:,} steps" if steps else f"{minutes:g} min")
        if int(parameters["place"]) > 1:
            parts.append(f"number {parameters['place']} of the best")
        usual = {one.name: one.default for one in spec.parameters}
        return parts + [str(parameters[name]) for name in ("sampler", "importance") if parameters[name] != usual[name]]


_CUT_LATER = "The widths were searched for; prune the original instead."
SEARCHED = Searched(
    hands_on_to=("quantization",),
    forbids=(("pruning", _CUT_LATER), ("distillation", "The network found was trained as a student already.")),
    searches=True,
    in_stages=True,
    best_tried=2,
    cuts=(
        Cut(
            {"latency_left": 0.3},
            removed=0.7,
            lost_points=0.8,
            basis="Its time is what it is asked for; its loss is that of a residual network with 70 % less work.",
            examples=2_000,
        ),
    ),
)
