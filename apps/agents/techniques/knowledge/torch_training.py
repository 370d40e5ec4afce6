"""Knowledge about techniques that train PyTorch models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec


class Recovery(TechniqueKnowledge):
    """It only recovers what another technique has cost, so it does not have variants of its own."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        return iter(())

    def training(self, minutes: float) -> Parameters:
        return {"minutes": minutes}

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        steps, minutes = int(parameters["steps"]), float(parameters["minutes"])
        length = f"{steps:,} steps" if steps else f"{minutes:g} min"
        return [length, f"distillation {float(parameters['distill']):g}"]


RECOVERY = Recovery(hands_on_to=("quantization",))
