"""Knowledge about distilling PyTorch models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Cut, Parameters, Superseded, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec


@dataclass(frozen=True)
class Distillation(TechniqueKnowledge):
    """A cut and the training after it in one technique, so it is planned with the minutes for training only."""

    shares: Mapping[str, str] = field(default_factory=dict)
    """Parameters that say how small the student is, and what they are a share of."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        return iter(())

    def training(self, minutes: float) -> Parameters:
        return {"minutes": minutes}

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        parts = [f"{float(parameters[name]):.0%} of the {what}" for name, what in self.shares.items()]
        steps, minutes = int(parameters["steps"]), float(parameters["minutes"])
        parts.append(f"{steps:,} steps" if steps else f"{minutes:g} min")
        usual = {one.name: one.default for one in spec.parameters}
        return parts + [f"{name} {parameters[name]}" for name in _NAMED if parameters.get(name) != usual.get(name)]


_NAMED = ("initial", "distill", "temperature", "hidden_weight", "attention_weight", "cosine_weight")
"""Parameters that a title names where they are not the usual ones."""

NARROW = Distillation(
    hands_on_to=("quantization",),
    shares={"student_parameters": "parameters"},
    cuts=(Cut({"student_parameters": 0.25}, removed=0.75, lost_points=0.8),),
)
"""Measured on a residual network on Fashion-MNIST, whose student made 250 steps (docs/distillation.md)."""
GIVEN = Distillation(hands_on_to=("quantization",))
"""How small the student is, the session knows."""
SHALLOW = Distillation(
    hands_on_to=("quantization",),
    shares={"student_layers": "layers"},
    cuts=(Cut({"student_layers": 0.5}, removed=0.5, lost_points=3.0),),
)
"""DistilBERT keeps 97 % of what its teacher scores (https://arxiv.org/abs/1910.01108)."""
SLIM = Distillation(
    hands_on_to=("quantization",),
    shares={"student_width": "width", "student_layers": "layers"},
    cuts=(Cut({"student_width": 0.5}, removed=0.7, lost_points=5.0, basis="The cut's loss is a guess."),),
    superseded=Superseded(
        by="torch-distill-layers",
        reason="A student with fewer layers starts closer to the original and is tried instead.",
    ),
)
"""Half of each width leaves a quarter of the layers' work, but what surrounds them takes more of the time."""
