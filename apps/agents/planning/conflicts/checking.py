"""Checks criteria for conflicts, and applies resolutions. Pure: the same input gives the same result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from apps.agents.contracts.criteria import Criteria, merged
from apps.agents.planning.conflicts import (
    budgets,
    defaults,
    evidence,
    limits,
    metrics,
    naming,
    reach,
    reachable,
    serving,
    units,
)
from apps.agents.planning.conflicts.values import Conflict, Known, Resolution, Severity

Rule = Callable[[Criteria, Known], Iterator[Conflict]]

RULES: tuple[Rule, ...] = (
    naming.forbidden_and_asked_for,
    naming.required_and_not_allowed,
    naming.nothing_permitted,
    reachable.switched_off,
    reachable.paused,
    reachable.not_installed,
    reachable.for_another_device,
    reachable.does_not_fit_the_model,
    reachable.export_excluded,
    reachable.left_out_of_the_plan,
    reach.size_out_of_reach,
    reach.speed_out_of_reach,
    reach.memory_out_of_reach,
    reach.nothing_planned,
    budgets.too_few_candidates,
    budgets.too_few_minutes,
    limits.both_losses_limited,
    limits.size_limit_moot,
    limits.speed_limit_moot,
    limits.weights_unused,
    metrics.metric_not_measured,
    metrics.metrics_of_several_tasks,
    metrics.primary_limited_twice,
    metrics.outputs_not_limited,
    metrics.output_not_labelled,
    metrics.labelled_output_not_limited,
    serving.objective_not_served,
    serving.limit_not_served,
    serving.nothing_to_compress,
    evidence.loss_undecidable,
    evidence.metric_loss_undecidable,
    evidence.output_loss_undecidable,
    evidence.group_loss_undecidable,
    evidence.class_loss_undecidable,
    defaults.own_default_against_the_teams,
    units.loss_limit_unscaled,
    units.group_limit_unanswerable,
    units.class_limit_unanswerable,
)


def conflicts_of(criteria: Criteria, known: Known | None = None) -> tuple[Conflict, ...]:
    """All conflicts, contradictions first. Without `known`, only those within the criteria and the catalogue."""
    given = known or Known()
    found = [conflict for rule in RULES for conflict in rule(criteria, given)]
    return tuple(sorted(found, key=lambda one: one.severity is not Severity.CONTRADICTION))


def contradictions(conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
    """Those that stop: nothing is saved or started with them."""
    return tuple(one for one in conflicts if one.severity is Severity.CONTRADICTION)


def resolution_of(conflicts: Iterable[Conflict], name: str) -> Resolution | None:
    """The resolution with the id `name`; `None` if no conflict proposes it."""
    return next((one for conflict in conflicts for one in conflict.resolutions if one.id == name), None)


def resolved(criteria: Criteria, resolution: Resolution) -> Criteria:
    """`criteria` with the resolution's patch applied."""
    return Criteria.model_validate(merged(criteria.model_dump(mode="json"), resolution.patch))
