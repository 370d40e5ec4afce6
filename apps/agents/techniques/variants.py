"""The variants of a technique for a form of the model, and their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.compatibility import format_label
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.variant import Variant

KEPT_OPERATORS, KEPT_NODES = "keep_float_operators", "keep_float_nodes"
"""The parameters that select what stays in float. A technique that has them can be repaired."""
_NAMES_LENGTH = 60


def variants_of(spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
    """The variants of a technique to consider for this form of the model. An export has one."""
    if spec.family is not Family.EXPORT:
        yield from spec.knowledge.variants(spec, profile)
        return
    target = spec.output_format or ""
    reason = f"The same float model in {runtime_of(target)}, which every {format_label(target)} technique starts from."
    yield Variant(spec.name, {}, reason)


def variant_name(spec: TechniqueSpec, parameters: Mapping[str, Any]) -> str:
    """The parameters in words: number types, and what stays in float. Empty if there is nothing to say."""
    parts = spec.knowledge.title_parts(spec, parameters)
    if "per_channel" in parameters:
        parts.append("per channel" if parameters["per_channel"] else "per tensor")
    if kept := parameters.get(KEPT_OPERATORS):
        parts.append(f"{', '.join(kept)} in float")
    if nodes := parameters.get(KEPT_NODES):
        names = ", ".join(nodes)
        few = names if len(names) <= _NAMES_LENGTH else f"{len(nodes)} most sensitive nodes"
        parts.append(f"{few} in float")
    return "; ".join(parts)
