"""Limits on the loss that do not fit the data set: its metric's unit, its groups, its classes."""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.criteria import USUAL_RISE, Criteria
from apps.agents.contracts.dataset_spec import METRICS, metric_by_group
from apps.agents.contracts.loss_limits import for_metric, has_scale
from apps.agents.contracts.phrasing import number, with_unit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity

MEANINGLESS_SHARE = 0.5
"""A limit of at least this share of the original's value would accept a candidate that is of no use."""
_POINTS, _UNIT = "max_metric_drop_points", "max_metric_drop_unit"
_GROUP_LIMITS = ("max_group_drop_points", "max_group_drop_unit")
_CLASS_LIMIT = "max_class_drop_points"


def loss_limit_unscaled(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The metric has no fixed scale, and the limit is large against the original's value, or was given in points."""
    if known.spec is None or has_scale(metric := known.spec.primary_metric):
        return
    limits = for_metric(criteria.constraints, metric)
    limit, in_points = limits.drop_limit, limits.max_metric_drop_unit is None
    if limit is None:
        return
    original = next((one.original for one in known.earlier if one.original > 0), None)
    if not in_points if original is None else limit < MEANINGLESS_SHARE * original:
        return
    label, unit = METRICS[metric].label, known.spec.unit_of(metric)
    against = (
        f"How much that is depends on the labels: no session has measured the original's {label} yet."
        if original is None
        else f"The original's {label} is only {with_unit(original, unit)}, so even a ruined candidate could hold it."
    )
    share = criteria.constraints.default_rise or USUAL_RISE
    yield (
        Conflicting("loss_limit_unscaled", Severity.WARNING, f"constraints.{_POINTS if in_points else _UNIT}")
        .resolved(
            "share",
            f"Allow {number(100 * share)} % of the original's value",
            constraints={_UNIT: None, "default_rise": share},
        )
        .says(
            f"The limit on the loss counts in the unit of the {label}: {with_unit(limit, unit)}. {against} Give a "
            "limit in this unit, or a share of the original's value."
        )
    )


def group_limit_unanswerable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The loss of each group is limited, but the data set names no groups, or its metric has no value for a group."""
    if (spec := known.spec) is None:
        return
    limits = for_metric(criteria.constraints, spec.primary_metric)
    names = [name for name in _GROUP_LIMITS if getattr(limits, name) is not None]
    if not names:
        return
    if spec.group is None:
        why = (
            "the data set has no groups. Upload it again and name the array or column with the group of each example "
            "(“Groups in”, or `group` in the API; the label column for every class)"
        )
    elif metric_by_group(spec.task, spec.primary_metric) is None:
        label = METRICS[spec.primary_metric].label
        why = f"its metric, {label}, is not a mean over examples, so it has no value for a group. Choose another metric"
    else:
        return
    yield (
        Conflicting("group_limit_unanswerable", Severity.CONTRADICTION, *(f"constraints.{name}" for name in names))
        .resolved("remove", "Remove the limit on the loss of each group", constraints=dict.fromkeys(names))
        .says(f"The loss of each group is limited, but {why}, or remove the limit.")
    )


def class_limit_unanswerable(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The loss of each class is limited, but the labels are not classes."""
    if criteria.constraints.max_class_drop_points is None or known.spec is None:
        return
    if known.spec.task is Task.CLASSIFICATION:
        return
    task = known.spec.task.value.replace("_", " ")
    yield (
        Conflicting("class_limit_unanswerable", Severity.CONTRADICTION, f"constraints.{_CLASS_LIMIT}")
        .resolved("remove", "Remove the limit on the loss of each class", constraints={_CLASS_LIMIT: None})
        .says(
            f"The loss of each class is limited, but the data set's task is {task}, whose labels are not classes. "
            "Choose a data set for classification, or remove the limit."
        )
    )
