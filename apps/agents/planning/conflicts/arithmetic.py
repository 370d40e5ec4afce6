"""How much smaller a model's file can become by the arithmetic of number types, whatever is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.agents.contracts.criteria import CountedSize, Criteria
from apps.agents.evaluation.plausibility import weight_bytes
from apps.agents.planning.bases import bases_of_model
from apps.agents.planning.conflicts.values import Known
from apps.agents.planning.ordering import SIZE_SURPRISE
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.compatibility import compatibility
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import QuantizationKnowledge
from apps.agents.techniques.variants import variants_of


@dataclass(frozen=True)
class Bound:
    """How much smaller the file can become at most, by the arithmetic of number types."""

    ratio: float
    """Original over candidate."""
    share: float
    """The least that a weight keeps of its bytes."""
    exported: bool
    """Whether it is that of an export, which may also drop what the original holds besides its weights, or weights that
    it does not use."""


def arithmetic_bound(criteria: Criteria, known: Known) -> Bound | None:
    """How much smaller the file can become at most; `None` if more than number types decides that.

    A quantization leaves of every weight at least the share of its narrowest number type. Nothing may follow it, and
    what it does not change keeps its size, so the inverse of that share bounds the whole file's ratio. An export keeps
    the weights in their types, so that what is left of them bounds its file.
    """
    if known.model is None or known.dataset is None or criteria.counted_size is not CountedSize.FILE:
        return None
    permitted = [spec for spec in known.permitted(criteria) if changes_bytes(spec) and is_usable(spec, criteria, known)]
    if any(not isinstance(spec.knowledge, QuantizationKnowledge) for spec in permitted):
        return None
    own = _narrowest([spec for spec in permitted if known.exporter(spec.name) is None], known)
    behind = _narrowest([spec for spec in permitted if known.exporter(spec.name) is not None], known)
    if own is None or behind is None:
        return None
    ratio = SIZE_SURPRISE / own
    exports = any(spec.family is Family.EXPORT for spec in known.permitted(criteria))
    if not exports:
        return Bound(ratio, own, exported=False)
    if not (held := held_bytes(known)):
        return None
    beyond = SIZE_SURPRISE * known.model.size_bytes / (held * behind)
    return Bound(max(ratio, beyond), min(own, behind), exported=True)


def changes_bytes(spec: TechniqueSpec) -> bool:
    return spec.family not in (Family.EXPORT, Family.GRAPH, Family.CALIBRATION)


def is_usable(spec: TechniqueSpec, criteria: Criteria, known: Known) -> bool:
    """Whether it can be applied to the model, or to an export that the criteria permit."""
    if known.model is None or known.dataset is None:
        return False
    if (exporter := known.exporter(spec.name)) is not None and exporter not in known.permitted(criteria):
        return False
    return compatibility(known.model, known.libraries or None, known.dataset, [spec])[0].compatible


def _narrowest(specs: Sequence[TechniqueSpec], known: Known) -> float | None:
    """The least that any of these quantizations leaves of a weight; 1 without one, `None` if that is not known."""
    if known.model is None or known.dataset is None:
        return None
    profile = bases_of_model(known.model, known.dataset.task).original.profile
    if specs and not profile.nodes:
        return None
    left = 1.0
    for spec in specs:
        assert isinstance(spec.knowledge, QuantizationKnowledge), "others have no bound"
        for parameters in _settings(spec, profile, behind_export=known.exporter(spec.name) is not None):
            left = min(left, *(spec.knowledge.bytes_left(parameters, node) for node in profile.nodes))
    return left


def _settings(spec: TechniqueSpec, profile: GraphProfile, *, behind_export: bool) -> Iterator[Mapping[str, Any]]:
    """The parameters of the variants that a plan weighs. Behind an export, whose operators are not known yet, the
    defaults and each other choice of a parameter."""
    if not behind_export:
        yield from (spec.resolve(variant.parameters) for variant in variants_of(spec, profile))
        return
    yield spec.resolve({})
    for parameter in spec.parameters:
        yield from ({**spec.resolve({}), parameter.name: choice} for choice in parameter.choices or ())


def held_bytes(known: Known) -> float:
    """What the weights of the original take in memory; 0 if their types are not known."""
    return 0.0 if known.model is None else min(weight_bytes(known.model), known.model.size_bytes)
