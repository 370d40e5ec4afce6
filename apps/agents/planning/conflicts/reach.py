"""Demanded gains that are out of reach for this model: by the arithmetic of number types, or by the plan's predictions.

What could be reached is read from the plan of the same criteria without the limits: the largest size ratio or speed-up
of its candidates is the nearest feasible point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from apps.agents.contracts.criteria import Constraints, CountedSize, Criteria, Objective
from apps.agents.contracts.phrasing import number_of_bytes
from apps.agents.contracts.state import CandidateRecord, Plan
from apps.agents.planning.bases import bases_of_model
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity
from apps.agents.planning.ordering import SIZE_SURPRISE, SURPRISE, size_surprise
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.compatibility import compatibility
from apps.agents.techniques.knowledge.technique import QuantizationKnowledge
from apps.agents.techniques.variants import variants_of


def size_out_of_reach(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The file has to be smaller than any permitted technique can make it."""
    demanded = _demanded_size(criteria, known)
    if demanded is None or (plan := known.plan(criteria)) is None:
        return
    surprise = size_surprise(criteria)
    if any(_size_ratio(one) * surprise >= demanded.ratio for one in plan.candidates) or _exports(plan, known):
        return
    if (best := _best(criteria, known, Objective.SIZE)) is None:
        return
    nearest, bound = _size_ratio(best), _arithmetic_bound(criteria, known)
    if nearest * surprise >= demanded.ratio:
        return
    impossible = bound is not None and bound < demanded.ratio
    building = Conflicting(
        "size_out_of_reach", Severity.CONTRADICTION if impossible else Severity.WARNING, demanded.field
    )
    if nearest > 1.0:
        building.resolved(
            "nearest", f"Demand {_floor(nearest):g} times smaller", constraints=_no_tighter(criteria, known, nearest)
        )
    building.resolved("remove", "Remove the limit on the size", constraints={demanded.name: None})
    _permit_better(building, criteria, known, Objective.SIZE, demanded.ratio / surprise)
    why = (
        f"with the permitted number types the file cannot become more than {bound:.2f} times smaller"
        if impossible
        else "no permitted technique is predicted to reach that"
    )
    yield building.says(
        f"{demanded.words}, but {why}. The nearest feasible point: {best.title} reaches about {nearest:.2f} times."
    )


def speed_out_of_reach(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The model has to be faster than any permitted technique is predicted to make it, even with a surprise."""
    limits = criteria.constraints
    by_latency = (
        known.latency_ms / limits.max_latency_ms if limits.max_latency_ms is not None and known.latency_ms else 0.0
    )
    ratio = max(limits.min_speedup or 0.0, by_latency)
    if ratio <= 1.0 or (plan := known.plan(criteria)) is None:
        return
    if any(one.predicted.speedup * SURPRISE >= ratio for one in plan.candidates) or _exports(plan, known):
        return
    if (best := _best(criteria, known, Objective.LATENCY)) is None:
        return
    nearest = best.predicted.speedup
    if nearest * SURPRISE >= ratio:
        return
    name = "min_speedup" if ratio == limits.min_speedup else "max_latency_ms"
    building = Conflicting("speed_out_of_reach", Severity.WARNING, f"constraints.{name}")
    if nearest > 1.01 and name == "min_speedup":
        lower = _floor(nearest)
        building.resolved("nearest", f"Demand {lower:g}× as fast", constraints={name: lower})
    building.resolved("remove", "Remove the limit on the speed", constraints={name: None})
    _permit_better(building, criteria, known, Objective.LATENCY, ratio / SURPRISE)
    yield building.says(
        f"The model has to be at least {ratio:.3g}× as fast, but no permitted technique is predicted to come near. The "
        f"nearest feasible point: {best.title}, predicted to be {nearest:.2f}× as fast. Speeds "
        "are estimates before the analysis."
    )


def nothing_planned(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The permitted techniques give an empty plan whatever the limits are, but others would not."""
    restricted = criteria.allowed_techniques is not None or bool(criteria.forbidden_techniques)
    if not restricted or (plan := known.plan(criteria)) is None or plan.candidates:
        return
    if _best(criteria, known, criteria.objective) is not None:
        return
    free = criteria.model_copy(update={"allowed_techniques": None, "forbidden_techniques": ()})
    wider = known.plan(free)
    if wider is None or not wider.candidates:
        return
    yield (
        Conflicting("nothing_planned", Severity.WARNING, "allowed_techniques", "forbidden_techniques")
        .resolved("allow-all", "Allow all techniques", allowed_techniques=None, forbidden_techniques=[])
        .says(
            "None of the permitted techniques can be tried on this model, so a session would end with the original. "
            f"With all techniques allowed, {len(wider.candidates)} candidate{'s' * (len(wider.candidates) > 1)} would "
            "be planned."
        )
    )


# --- the size --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _DemandedSize:
    """The limits on the size as one ratio, original over candidate."""

    ratio: float
    name: str
    """The limit."""
    words: str

    @property
    def field(self) -> str:
        return f"constraints.{self.name}"


def _demanded_size(criteria: Criteria, known: Known) -> _DemandedSize | None:
    """The tighter limit on the size; `None` if none demands a smaller file."""
    limits, model = criteria.constraints, known.model
    if model is None or not model.size_bytes:
        return None
    found: list[_DemandedSize] = []
    if limits.min_size_reduction is not None:
        words = f"The model has to be at least {limits.min_size_reduction:g} times smaller"
        found.append(_DemandedSize(limits.min_size_reduction, "min_size_reduction", words))
    if limits.max_size_bytes is not None and criteria.counted_size is CountedSize.FILE:
        ratio = model.size_bytes / limits.max_size_bytes
        words = (
            f"The file may have at most {number_of_bytes(limits.max_size_bytes)}, {ratio:.2f} times less than the "
            f"original's {number_of_bytes(model.size_bytes)}"
        )
        found.append(_DemandedSize(ratio, "max_size_bytes", words))
    tightest = max(found, key=lambda one: one.ratio, default=None)
    return tightest if tightest is not None and tightest.ratio > 1.0 else None


def _no_tighter(criteria: Criteria, known: Known, ratio: float) -> dict[str, float | int]:
    """The limits on the size that demand more than `ratio`, eased to what it holds."""
    limits, size_bytes = criteria.constraints, known.model.size_bytes if known.model else 0
    eased: dict[str, float | int] = {}
    if limits.min_size_reduction is not None and limits.min_size_reduction > ratio:
        eased["min_size_reduction"] = _floor(ratio)
    if limits.max_size_bytes is not None and size_bytes / limits.max_size_bytes > ratio:
        eased["max_size_bytes"] = math.ceil(size_bytes / _floor(ratio))
    return eased


def _size_ratio(candidate: CandidateRecord) -> float:
    return candidate.predicted.size_ratio


def _arithmetic_bound(criteria: Criteria, known: Known) -> float | None:
    """How much smaller the file can become at most; `None` if more than number types decides that.

    A quantization leaves of every weight at least the share of its narrowest number type. Nothing may follow it, and
    what it does not change keeps its size, so the inverse of that share bounds the whole file's ratio.
    """
    if known.model is None or known.dataset is None or criteria.counted_size is not CountedSize.FILE:
        return None
    profile = bases_of_model(known.model, known.dataset.task).original.profile
    bound = 1.0
    for spec in known.permitted(criteria):
        if not compatibility(known.model, known.libraries or None, known.dataset, [spec])[0].compatible:
            continue
        if spec.family is Family.GRAPH:
            continue
        knowledge = spec.knowledge
        if not isinstance(knowledge, QuantizationKnowledge) or known.exporter(spec.name) or not profile.nodes:
            return None
        for variant in variants_of(spec, profile):
            parameters = spec.resolve(variant.parameters)
            bound = max(bound, *(1 / knowledge.bytes_left(parameters, node) for node in profile.nodes))
    return bound * SIZE_SURPRISE


# --- what could be reached -------------------------------------------------------------------------------------------


def _best(criteria: Criteria, known: Known, objective: Objective) -> CandidateRecord | None:
    """The candidate that goes furthest if no limit holds."""
    free = {"constraints": Constraints(max_metric_drop_points=None), "objective": objective, "required_techniques": ()}
    plan = known.plan(criteria.model_copy(update=free))
    candidates = plan.candidates if plan else ()
    if objective is Objective.SIZE:
        return max(candidates, key=_size_ratio, default=None)
    return max(candidates, key=lambda one: one.predicted.speedup, default=None)


def _exports(plan: Plan, known: Known) -> bool:
    """Whether techniques for another runtime will be weighed once an exported model is analysed."""
    specs: list[TechniqueSpec | None] = [
        known.specs.get(link.technique) for one in plan.candidates for link in one.steps
    ]
    return any(spec is not None and spec.family is Family.EXPORT for spec in specs)


def _permit_better(building: Conflicting, criteria: Criteria, known: Known, objective: Objective, ratio: float) -> None:
    """Proposes the techniques that would reach `ratio` if the criteria did not exclude them."""
    if criteria.allowed_techniques is None and not criteria.forbidden_techniques:
        return
    free = criteria.model_copy(update={"allowed_techniques": None, "forbidden_techniques": ()})
    best = _best(free, known, objective)
    reached = 0.0 if best is None else _size_ratio(best) if objective is Objective.SIZE else best.predicted.speedup
    if best is None or reached < ratio:
        return
    names = [link.technique for link in best.steps if not link.optional]
    allowed = criteria.allowed_techniques
    patch = {
        "forbidden_techniques": [name for name in criteria.forbidden_techniques if name not in names],
        "allowed_techniques": None if allowed is None else [*dict.fromkeys((*allowed, *names))],
    }
    labels = " and ".join(dict.fromkeys(known.label(name) for name in names))
    building.resolved("permit", f"Permit {labels} as well (predicted: {reached:.2f} times)", **patch)


def _floor(ratio: float) -> float:
    """Rounded down to two decimals, so that what was predicted holds it."""
    return math.floor(ratio * 100) / 100
