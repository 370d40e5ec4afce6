"""What is known of techniques for Keras models and SavedModels: their expectations, until somebody measures more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec


class DefaultsOnly(TechniqueKnowledge):
    """One variant: each of these trains the model again, or is for hardware that few have; members search by hand."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        yield Variant(spec.name, {}, spec.summary)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return []


DEFAULTS_ONLY = DefaultsOnly()
CLUSTERING = DefaultsOnly(
    forbids=(("pruning", "It trains the model again, and then no two weights share a value any more."),)
)
