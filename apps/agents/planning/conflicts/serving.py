"""Objectives and limits that no permitted technique serves, judged by the usual effects of techniques."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apps.agents.contracts.criteria import CountedSize, Criteria, Objective
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity
from apps.agents.planning.ordering import WORTH_SAYING
from apps.agents.techniques.catalogue import Family, TechniqueSpec

Serves = Callable[[TechniqueSpec], bool]
_ZEROING = frozenset({Family.PRUNING, Family.COMPRESSION})


def objective_not_served(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """No permitted technique usually gains anything that counts under the objective."""
    permitted, weights = known.permitted(criteria), criteria.exponents
    faster = bool(weights.latency) and any(map(makes_faster, permitted))
    smaller = bool(weights.size or weights.memory) and any(map(_smaller(criteria), permitted))
    if not permitted or faster or smaller:
        return
    building = Conflicting("objective_not_served", Severity.WARNING, "objective", *_restricting(criteria))
    other = Objective.SIZE if criteria.objective is Objective.LATENCY else Objective.LATENCY
    serves = _smaller(criteria) if other is Objective.SIZE else makes_faster
    if any(map(serves, permitted)):
        building.resolved("objective", f"Make the objective {other.value}", objective=other.value)
    _allow_all(building, criteria)
    yield building.says(
        f"The objective is {criteria.objective.value}, but no permitted technique usually gains any of that. Permit "
        "others, or choose another objective."
    )


def limit_not_served(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A gain is demanded that no permitted technique usually makes. With a model, its predictions say more."""
    permitted, limits = known.permitted(criteria), criteria.constraints
    if not permitted or known.model is not None:
        return
    demanded: tuple[tuple[str, float | None, Serves, str], ...] = (
        ("min_speedup", limits.min_speedup, makes_faster, "faster"),
        ("min_size_reduction", limits.min_size_reduction, _smaller(criteria), "smaller"),
    )
    for name, ratio, serves, words in demanded:
        if ratio is None or ratio <= WORTH_SAYING or any(map(serves, permitted)):
            continue
        building = Conflicting(
            "limit_not_served", Severity.WARNING, f"constraints.{name}", *_restricting(criteria), subject=name
        )
        building.resolved("remove", f"Do not demand that it is {words}", constraints={name: None})
        _allow_all(building, criteria)
        yield building.says(
            f"The model has to be at least {ratio:g} times {words}, but no permitted technique usually makes a model "
            f"{words}. Permit others, or remove the limit."
        )


def nothing_to_compress(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The compressed size counts, but no permitted technique produces zeros or repeated values, which alone compress
    better."""
    permitted = known.permitted(criteria)
    if criteria.counted_size is not CountedSize.COMPRESSED or not permitted or any(map(makes_zeros, permitted)):
        return
    building = Conflicting("nothing_to_compress", Severity.WARNING, "counted_size", *_restricting(criteria))
    building.resolved("file", "Count the file as it is", counted_size=CountedSize.FILE.value)
    if any(makes_zeros(spec) for spec in known.permitted(_unrestricted(criteria))):
        _allow_all(building, criteria)
    yield building.says(
        "The compressed size counts, but no permitted technique for this makes zeros or repeated weights, which are "
        "what compresses better. Count the file as it is, or permit such a technique."
    )


def makes_faster(spec: TechniqueSpec) -> bool:
    return spec.expectation.speedup > WORTH_SAYING or spec.family is Family.GRAPH


def makes_zeros(spec: TechniqueSpec) -> bool:
    """Whether what it gains shows in the compressed file only."""
    unstructured = spec.family in _ZEROING and spec.expectation.size_ratio <= WORTH_SAYING
    return unstructured or spec.expectation.compressed_ratio is not None


def _smaller(criteria: Criteria) -> Serves:
    compressed = criteria.counted_size is CountedSize.COMPRESSED
    return lambda spec: spec.expectation.size_ratio > WORTH_SAYING or (compressed and makes_zeros(spec))


def _restricting(criteria: Criteria) -> list[str]:
    """The fields that exclude techniques."""
    allowed = [] if criteria.allowed_techniques is None else ["allowed_techniques"]
    return [*allowed, *(["forbidden_techniques"] if criteria.forbidden_techniques else [])]


def _unrestricted(criteria: Criteria) -> Criteria:
    return criteria.model_copy(update={"allowed_techniques": None, "forbidden_techniques": ()})


def _allow_all(building: Conflicting, criteria: Criteria) -> None:
    if _restricting(criteria):
        building.resolved("allow-all", "Allow all techniques", allowed_techniques=None, forbidden_techniques=[])
