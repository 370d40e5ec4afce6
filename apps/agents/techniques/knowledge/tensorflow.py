"""Knowledge about techniques for Keras models and SavedModels. Only their specs' expectations are known so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Parameters, Superseded, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec


class DefaultsOnly(TechniqueKnowledge):
    """Only the default variant: these techniques train the model again, or are for hardware that few have."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        yield Variant(spec.name, {}, spec.summary)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return []


DEFAULTS_ONLY = DefaultsOnly()
FILTERS = DefaultsOnly(
    superseded=Superseded(
        by="keras-prune",
        reason="Structured pruning chooses widths by what the output loses, and fits layers again. It is tried only if "
        "the criteria name it.",
    )
)
