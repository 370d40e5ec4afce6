"""Demanded gains that are out of reach for this model: by the arithmetic of number types, or by the plan's predictions.

The nearest feasible point is that of the plan (`apps.agents.planning.feasibility`), in the plan's own words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from apps.agents.contracts.criteria import Constraints, CountedSize, Criteria, Objective
from apps.agents.contracts.phrasing import listed, number_of_bytes
from apps.agents.contracts.reports.slack import Foreseen
from apps.agents.contracts.state import CandidateRecord, Plan, Prediction
from apps.agents.planning.conflicts.arithmetic import Bound, arithmetic_bound, changes_bytes, held_bytes, is_usable
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity
from apps.agents.planning.feasibility import OriginalFacts, Point, nearest_feasible
from apps.agents.planning.ordering import SIZE_SURPRISE, SURPRISE, size_surprise
from apps.agents.techniques.catalogue import Family, TechniqueSpec

SIZE_LIMITS = frozenset({"min_size_reduction", "max_size_bytes"})


def size_out_of_reach(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The file has to be smaller than any permitted technique can make it."""
    demanded = _demanded_size(criteria, known)
    if demanded is None or (nearest := _nearest(criteria, known)) is None:
        return
    if demanded.name not in nearest.unreachable:
        return
    bound = arithmetic_bound(criteria, known)
    beyond = bound is not None and bound.ratio < demanded.ratio
    impossible = beyond and bound is not None and not bound.exported
    building = Conflicting(
        "size_out_of_reach", Severity.CONTRADICTION if impossible else Severity.WARNING, demanded.field
    )
    reaches = {name: nearest.reaches[name] for name in SIZE_LIMITS if name in nearest.reaches}
    if (smaller := _smaller(reaches, known)) > 1.0:
        building.resolved("nearest", f"Demand {smaller:g} times smaller", constraints=_whole_bytes(reaches))
    building.resolved("remove", "Remove the limit on the size", constraints={demanded.name: None})
    _permit_better(building, criteria, known, Objective.SIZE, demanded.ratio / size_surprise(criteria))
    why = (
        f"with the permitted number types the file cannot become more than {bound.ratio:.2f} times smaller"
        f"{', as long as its export keeps all weights' if bound.exported else ''}"
        if bound is not None and beyond
        else "no permitted technique is predicted to reach that"
    )
    yield building.says(f"{demanded.words}, but {why}. {nearest.nearest_in_words}")


def speed_out_of_reach(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The model has to be faster than any permitted technique is predicted to make it, even with a surprise.

    If the size is out of reach as well, that conflict names the nearest point.
    """
    limits = criteria.constraints
    by_latency = (
        known.latency_ms / limits.max_latency_ms if limits.max_latency_ms is not None and known.latency_ms else 0.0
    )
    ratio = max(limits.min_speedup or 0.0, by_latency)
    name = "min_speedup" if ratio == limits.min_speedup else "max_latency_ms"
    if ratio <= 1.0 or (nearest := _nearest(criteria, known)) is None or name not in nearest.unreachable:
        return
    building = Conflicting("speed_out_of_reach", Severity.WARNING, f"constraints.{name}")
    if name == "min_speedup" and (lower := nearest.reaches[name]) > 1.01:
        building.resolved("nearest", f"Demand {lower:g}× as fast", constraints={name: lower})
    building.resolved("remove", "Remove the limit on the speed", constraints={name: None})
    _permit_better(building, criteria, known, Objective.LATENCY, ratio / SURPRISE)
    stated = SIZE_LIMITS & set(nearest.unreachable)
    yield building.says(
        f"The model has to be at least {ratio:.3g}× as fast, but no permitted technique is predicted to come near. "
        f"{'' if stated else f'{nearest.nearest_in_words} '}Speeds are estimates before the analysis."
    )


def memory_out_of_reach(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The model may take less memory than its weights alone need in the smallest form that permitted techniques make.

    A runtime holds the weights at least once, in the number types of the file or in wider ones.
    """
    limit, held = criteria.constraints.max_memory_bytes, held_bytes(known)
    counted = criteria.model_copy(update={"counted_size": CountedSize.FILE})
    if limit is None or not held or (smallest := _smallest(counted, known)) is None:
        return
    form, ratio = smallest
    if held / (ratio * SIZE_SURPRISE) <= limit:
        return
    building = Conflicting("memory_out_of_reach", Severity.WARNING, "constraints.max_memory_bytes")
    building.resolved("remove", "Remove the limit on the memory", constraints={"max_memory_bytes": None})
    _permit_better(building, counted, known, Objective.SIZE, held / limit / SIZE_SURPRISE)
    yield building.says(
        f"The model may take at most {number_of_bytes(limit)} of memory, but {form} its weights alone need "
        f"{number_of_bytes(held / ratio)}. Allow more memory, or permit techniques that make the model smaller."
    )


def _smallest(criteria: Criteria, known: Known) -> tuple[str, float] | None:
    """The smallest form of the weights that permitted techniques make, in words, and how many times smaller it is;
    `None` while that is open."""
    if (plan := _free(criteria, known, Objective.SIZE)) is None:
        return None
    if _exports(plan, known):
        bound = arithmetic_bound(criteria, known)
        return None if bound is None else ("even in the narrowest of the permitted number types", 1 / bound.share)
    smallest = max(plan.candidates, key=_size_ratio, default=None)
    if smallest is None or _size_ratio(smallest) <= 1.0:
        return "as they are,", 1.0
    return f"even as {smallest.title}, the smallest that is predicted,", _size_ratio(smallest)


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


def _smaller(reaches: Mapping[str, float], known: Known) -> float:
    """The size ratio that these limits on the size amount to; 0 if there are none."""
    size_bytes = known.model.size_bytes if known.model else 0
    ratios = [value if name == "min_size_reduction" else size_bytes / value for name, value in reaches.items()]
    return math.floor(100 * min(ratios, default=0.0) + 1e-6) / 100


def _whole_bytes(reaches: Mapping[str, float]) -> dict[str, float | int]:
    return {name: int(value) if name == "max_size_bytes" else value for name, value in reaches.items()}


def _size_ratio(candidate: CandidateRecord) -> float:
    return candidate.predicted.size_ratio


# --- what could be reached -------------------------------------------------------------------------------------------


def _nearest(criteria: Criteria, known: Known) -> Foreseen | None:
    """The nearest point to the limits, as the plan of these criteria says it; `None` if the limits may hold.

    A plan before the analysis knows no latency. If an earlier session measured it, the candidates of the plans without
    limits are compared with it.
    """
    if (plan := known.plan(criteria)) is None or known.model is None:
        return None
    if _exports(plan, known):
        return _nearest_behind_exports(plan, criteria, known)
    if plan.nearest is not None:
        return plan.nearest
    free = [plan for objective in (Objective.SIZE, Objective.LATENCY) if (plan := _free(criteria, known, objective))]
    points = [Point(one.title, one.predicted) for plan in free for one in plan.candidates]
    return nearest_feasible(points, criteria, OriginalFacts(known.model.size_bytes, known.latency_ms))


def _nearest_behind_exports(plan: Plan, criteria: Criteria, known: Known) -> Foreseen | None:
    """The nearest point to the limits on the size, where these are beyond the bound of number types; else `None`.

    How fast an export is, and how small it really gets, only its analysis tells. Until then, techniques behind it are
    expected to have their usual effect.
    """
    bound, demanded = arithmetic_bound(criteria, known), _demanded_size(criteria, known)
    if bound is None or demanded is None or bound.ratio >= demanded.ratio or known.model is None:
        return None
    limits = criteria.constraints.model_copy(update={"min_speedup": None, "max_latency_ms": None})
    behind = [one for one in known.permitted(criteria) if known.exporter(one.name) and changes_bytes(one)]
    points = [Point(one.title, one.predicted) for one in plan.candidates]
    points += [_usual_point(one, bound) for one in behind if is_usable(one, criteria, known)]
    about_size = criteria.model_copy(update={"constraints": limits})
    return nearest_feasible(points, about_size, OriginalFacts(known.model.size_bytes))


def _usual_point(spec: TechniqueSpec, bound: Bound) -> Point:
    """What a technique usually makes of a model."""
    usual = spec.expectation
    predicted = Prediction(
        speedup=usual.speedup,
        size_ratio=min(usual.size_ratio, bound.ratio / SIZE_SURPRISE),
        metric_drop_points=usual.metric_drop_points,
        risk=usual.risk.value,
        basis="The technique's usual effect; the export is not analysed yet.",
    )
    return Point(spec.label, predicted)


def _free(criteria: Criteria, known: Known, objective: Objective) -> Plan | None:
    """The plan if no limit holds."""
    free = {"constraints": Constraints(max_metric_drop_points=None), "objective": objective, "required_techniques": ()}
    return known.plan(criteria.model_copy(update=free))


def _best(criteria: Criteria, known: Known, objective: Objective) -> CandidateRecord | None:
    """The candidate that goes furthest if no limit holds."""
    plan = _free(criteria, known, objective)
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
    labels = listed(list(dict.fromkeys(known.label(name) for name in names)))
    building.resolved("permit", f"Permit {labels} as well (predicted: {reached:.2f} times)", **patch)
