"""The verdict on the loss of the worst group of examples."""

from __future__ import annotations

from apps.agents.contracts.dataset_spec import METRICS
from apps.agents.contracts.phrasing import against, difference_unit, interval_in_words, with_unit
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.contracts.reports.metrics import GroupComparison
from apps.agents.evaluation.deciding import decide
from apps.agents.evaluation.measured import Measurements
from apps.agents.evaluation.metric_sentences import examples_to_decide, how_it_changed


def group_verdict(measured: Measurements, limit: float) -> ConstraintVerdict:
    """The drop of the worst group against a limit that every group must meet.

    The intervals hold for all groups at once, so that no group fails only because many were tested. The worst group is
    the one that exceeds the limit by most or, if none exceeds it, the one whose interval reaches furthest.
    """
    unit = difference_unit(METRICS[measured.group_metric].unit) if measured.group_metric else "points"
    if not measured.groups:
        return ConstraintVerdict(
            constraint="max_group_drop_points",
            limit=limit,
            measured=Estimate(value=0.0, low=-UNKNOWN, high=UNKNOWN),
            unit=unit,
            status=Holds.INCONCLUSIVE,
            margin=0.0,
            sentence="The loss of each group is not known: the metric is not a mean over the examples of a group.",
            to_decide="No number of examples would decide: choose a metric such as accuracy or mean absolute error.",
        )
    by_status = {one: decide(one.simultaneous, limit, "at most") for one in measured.groups}
    status = next(
        (one for one in (Holds.VIOLATED, Holds.INCONCLUSIVE) if one in by_status.values()),
        Holds.HOLDS,
    )
    worst = max(
        (one for one in measured.groups if by_status[one] is status),
        key=lambda one: _bound(one.simultaneous, low=status is Holds.VIOLATED),
    )
    drop = worst.simultaneous
    spec = METRICS[measured.group_metric] if measured.group_metric else None
    change = drop.negated() if spec is None or spec.higher_is_better else drop
    interval_text = interval_in_words(change, measured.confidence, unit).replace(
        "interval", "interval for all groups", 1
    )
    label = spec.label if spec else "metric"
    moved = how_it_changed(change, unit, status, interval_text)
    return ConstraintVerdict(
        constraint="max_group_drop_points",
        limit=limit,
        measured=drop,
        unit=unit,
        status=status,
        margin=limit - drop.value,
        sentence=f"Of {len(measured.groups):,} groups, {worst.group} does worst: its {label} {moved} "
        f"on {worst.examples:,} examples, {against(status, f'the limit of {with_unit(limit, unit)}')}.",
        to_decide=_group_to_decide(worst, limit, unit) if status is Holds.INCONCLUSIVE else None,
    )


def _group_to_decide(worst: GroupComparison, limit: float, unit: str) -> str:
    if worst.examples < 2:
        return f"The group {worst.group} has only one example: add more examples of it, or merge it with another group."
    return f"In the group {worst.group}: {examples_to_decide(worst.simultaneous, limit, unit, worst.examples)}"


def _bound(drop: Estimate, *, low: bool) -> float:
    end = drop.low if low else drop.high
    return drop.value if end is None else end
