"""Limits of which one makes another pointless, and weights that do not count."""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.criteria import CountedSize, Criteria, Objective, Weights
from apps.agents.contracts.loss_limits import for_metric
from apps.agents.contracts.phrasing import difference_unit, number_of_bytes, with_unit
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity

DROP, UNIT, RELATIVE = "max_metric_drop_points", "max_metric_drop_unit", "max_metric_drop_relative"


def both_losses_limited(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The loss is limited in points and as a share of the original's value: both hold, so the tighter one decides."""
    limits = criteria.constraints
    if known.spec is not None:
        limits = for_metric(limits, known.spec.primary_metric)
    points, share = limits.drop_limit, limits.max_metric_drop_relative
    if points is None or share is None:
        return
    drop = DROP if limits.max_metric_drop_unit is None else UNIT
    unit = difference_unit(known.spec.unit_of(known.spec.primary_metric)) if known.spec else "points"
    in_points, in_share = with_unit(points, unit), f"{100 * share:.3g} % of the original's value"
    yield (
        Conflicting("both_losses_limited", Severity.WARNING, f"constraints.{drop}", f"constraints.{RELATIVE}")
        .resolved("keep-points", f"Keep only the limit of {in_points}", constraints={RELATIVE: None})
        .resolved("keep-share", f"Keep only the limit of {in_share}", constraints={drop: None})
        .says(
            f"The loss is limited to {in_points} and to {in_share}. Both have to hold, so the tighter one decides. "
            "Which one that is depends on the original's value. Keep one of them."
        )
    )


def weights_unused(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """Weights were given, but only the balanced objective reads them."""
    if criteria.objective is Objective.BALANCED or criteria.weights == Weights():
        return
    usual = Weights().model_dump(mode="json")
    yield (
        Conflicting("weights_unused", Severity.WARNING, "objective", "weights")
        .resolved("balance", "Make the objective balanced", objective=Objective.BALANCED.value)
        .resolved("reset", "Reset the weights", weights=usual)
        .says(
            f"Weights count under the balanced objective only, but the objective is {criteria.objective.value}. Choose "
            "the balanced objective, or leave the weights out."
        )
    )


def size_limit_moot(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """Two limits on the size: with the original's size, one follows from the other."""
    limits = criteria.constraints
    if limits.max_size_bytes is None or limits.min_size_reduction is None:
        return
    if known.model is None or criteria.counted_size is not CountedSize.FILE:
        return
    size_bytes = known.model.size_bytes
    by_ratio = size_bytes / limits.min_size_reduction
    asked = f"at least {limits.min_size_reduction:g} times smaller"
    most = f"at most {number_of_bytes(limits.max_size_bytes)}"
    ratio_decides = by_ratio <= limits.max_size_bytes
    tighter, looser = (asked, most) if ratio_decides else (most, asked)
    moot = "max_size_bytes" if ratio_decides else "min_size_reduction"
    yield (
        Conflicting("size_limit_moot", Severity.WARNING, "constraints.min_size_reduction", "constraints.max_size_bytes")
        .resolved("remove", f"Remove the limit “{looser}”", constraints={moot: None})
        .says(
            f"The original has {number_of_bytes(size_bytes)}, so “{tighter}” is the tighter limit: “{looser}” has no "
            "effect beside it."
        )
    )


def speed_limit_moot(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """Two limits on the time: with the original's latency, one follows from the other."""
    limits = criteria.constraints
    if limits.max_latency_ms is None or limits.min_speedup is None or known.latency_ms is None:
        return
    asked, most = f"at least {limits.min_speedup:g}× as fast", f"at most {limits.max_latency_ms:g} ms"
    ratio_decides = known.latency_ms / limits.min_speedup <= limits.max_latency_ms
    tighter, looser = (asked, most) if ratio_decides else (most, asked)
    moot = "max_latency_ms" if ratio_decides else "min_speedup"
    yield (
        Conflicting("speed_limit_moot", Severity.WARNING, "constraints.min_speedup", "constraints.max_latency_ms")
        .resolved("remove", f"Remove the limit “{looser}”", constraints={moot: None})
        .says(
            f"An earlier session measured {known.latency_ms:.3g} ms for the original on this target, so “{tighter}” is "
            f"the tighter limit: “{looser}” has no effect beside it."
        )
    )
