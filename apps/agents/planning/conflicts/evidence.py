"""Limits that the data cannot decide."""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import METRICS
from apps.agents.contracts.loss_limits import for_metric, has_scale
from apps.agents.contracts.phrasing import with_unit
from apps.agents.evaluation.decidability import Decidability, Decides, decidability, round_up
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity

_HIGHEST_LIMIT = 100.0


def loss_undecidable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The data set has too few examples to prove the limit on the loss, even for a candidate without any loss."""
    found = _decidability(criteria, known)
    if found is None or found.decides is not Decides.NO:
        return
    limits = _held(criteria, known)
    fields = [
        f"constraints.{name}"
        for name in ("max_metric_drop_points", "max_metric_drop_unit", "max_metric_drop_relative", "default_rise")
        if getattr(limits, name) is not None
    ]
    building = Conflicting("loss_undecidable", Severity.WARNING, *fields, "confidence")
    provable = round_up(min((one.smallest_drop for one in found.reaches), default=0.0))
    if provable > 0 and (provable <= _HIGHEST_LIMIT or not _scaled(known)):
        limit = _limit_of(round(provable, 8), criteria, known)
        building.resolved("limit", f"Allow a loss of up to {with_unit(provable, found.unit)}", constraints=limit)
    _accept(building, criteria)
    yield building.says(f"{found.sentence} {found.advice}".strip())


def metric_loss_undecidable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The data set has too few examples to prove the limit on the loss of a further metric."""
    found = _decidability(criteria, known)
    labels = {METRICS[metric].label: metric for metric in criteria.constraints.metric_limits}
    for one in found.further if found else ():
        if one.decides is not Decides.NO or one.output:
            continue
        name, metric = "metric_limits", labels[one.metric].value
        building = Conflicting("metric_loss_undecidable", Severity.WARNING, f"constraints.{name}", subject=metric)
        building.resolved("remove", f"Remove the limit on {one.metric}", constraints={name: {metric: None}})
        _accept(building, criteria)
        yield building.says(f"{one.sentence} Add examples, or relax the limit.")


def output_loss_undecidable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The data set has too few examples to prove the limit on the loss of a further output with labels."""
    found = _decidability(criteria, known)
    for one in found.further if found else ():
        if one.decides is not Decides.NO or not one.output:
            continue
        name = "output_limits"
        building = Conflicting(
            "output_loss_undecidable", Severity.WARNING, f"constraints.{name}", subject=one.output
        ).resolved("remove", f"Remove the limit on the output {one.output}", constraints={name: {one.output: None}})
        _accept(building, criteria)
        yield building.says(f"{one.sentence} Add examples, or relax the limit.")


def group_loss_undecidable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The smallest group has too few examples to prove the limit on every group's loss."""
    found = _decidability(criteria, known)
    group = found.smallest_group if found else None
    if group is None or group.decides is not Decides.NO:
        return
    names = ("max_group_drop_points", "max_group_drop_unit")
    fields = [f"constraints.{name}" for name in names if getattr(criteria.constraints, name) is not None]
    building = Conflicting("group_loss_undecidable", Severity.WARNING, *fields)
    building.resolved("remove", "Remove the limit on the loss of each group", constraints=dict.fromkeys(names))
    _accept(building, criteria)
    yield building.says(f"{group.sentence} Add examples of {group.group}, or relax the limit.")


def class_loss_undecidable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The smallest class has too few examples to prove the limit on every class's loss."""
    found = _decidability(criteria, known)
    smallest = found.smallest_class if found else None
    if smallest is None or smallest.decides is not Decides.NO:
        return
    name = "max_class_drop_points"
    building = Conflicting("class_loss_undecidable", Severity.WARNING, f"constraints.{name}")
    building.resolved("remove", "Remove the limit on the loss of each class", constraints={name: None})
    _accept(building, criteria)
    yield building.says(f"{smallest.sentence} Add examples of {smallest.group}, or relax the limit.")


def _scaled(known: Known) -> bool:
    return known.spec is None or has_scale(known.spec.primary_metric)


def _held(criteria: Criteria, known: Known) -> Constraints:
    """The limits that hold for the data set's metric. A default stands for the share that follows from it."""
    limits = criteria.constraints
    held = limits if known.spec is None else for_metric(limits, known.spec.primary_metric)
    by_default = limits.max_metric_drop_unit is None and limits.max_metric_drop_relative is None and not _scaled(known)
    if by_default and limits.default_rise is not None:
        return held.model_copy(update={"max_metric_drop_unit": None, "max_metric_drop_relative": None})
    return held.model_copy(update={"default_rise": None})


def _limit_of(limit: float, criteria: Criteria, known: Known) -> dict[str, float | None]:
    """A patch of the constraints that limits the loss to `limit` and nothing else, in the metric's unit."""
    default = criteria.constraints.default_rise
    if _scaled(known):
        return {"max_metric_drop_points": limit, "max_metric_drop_relative": None, "default_rise": default}
    return {"max_metric_drop_unit": limit, "max_metric_drop_relative": None}


def _accept(building: Conflicting, criteria: Criteria) -> None:
    if not criteria.accept_inconclusive:
        title = "Accept a result that is within the limits but not proven"
        building.resolved("accept", title, accept_inconclusive=True)


def _decidability(criteria: Criteria, known: Known) -> Decidability | None:
    if known.dataset is None or known.spec is None:
        return None
    data = known.dataset
    return decidability(known.spec, data.examples, criteria, known.earlier, data.groups, data.class_counts)
