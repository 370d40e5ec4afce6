"""Limits on further metrics that do not go with the task, or with another limit."""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.criteria import USUAL_OUTPUT_DEVIATION, Criteria
from apps.agents.contracts.dataset_spec import METRICS, TASK_METRICS
from apps.agents.contracts.errors.datasets import OutputUnknown
from apps.agents.contracts.loss_limits import for_metric
from apps.agents.contracts.phrasing import difference_unit, listed, with_unit
from apps.agents.contracts.reports.metrics import POINT_UNITS
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.dataset_fit import judged_output
from apps.agents.datasets.metric_fit import measurable
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity

FIELD = "metric_limits"
USUAL_POINTS = 1.0
DROP, UNIT = "max_metric_drop_points", "max_metric_drop_unit"


def metric_not_measured(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A metric is limited that the data set's task cannot measure on the model's output."""
    if known.spec is None:
        return
    choices = measurable(known.spec, _judged(known))
    for metric in criteria.constraints.metric_limits:
        if metric in choices:
            continue
        label, path = METRICS[metric].label, f"constraints.{FIELD}"
        instead = " or ".join(METRICS[one].label for one in choices)
        yield (
            Conflicting("metric_not_measured", Severity.CONTRADICTION, path, subject=metric.value)
            .resolved("remove", f"Remove the limit on {label}", constraints={FIELD: {metric.value: None}})
            .says(
                f"The loss of {label} is limited, but it cannot be measured with this data set. "
                f"Remove the limit, or limit {instead}."
            )
        )


def metrics_of_several_tasks(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """Metrics are limited that no task measures together."""
    limited = set(criteria.constraints.metric_limits)
    if known.spec is not None or any(limited <= set(metrics) for metrics in TASK_METRICS.values()):
        return
    names = listed([METRICS[one].label for one in criteria.constraints.metric_limits])
    building = Conflicting("metrics_of_several_tasks", Severity.CONTRADICTION, f"constraints.{FIELD}")
    for metric in criteria.constraints.metric_limits:
        label = METRICS[metric].label
        building.resolved(
            f"remove-{metric.value}", f"Remove the limit on {label}", constraints={FIELD: {metric.value: None}}
        )
    yield building.says(
        f"The losses of {names} are limited, but no task measures all of them, so every session would be refused. "
        "Keep the limits on the metrics of one task."
    )


def primary_limited_twice(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The primary metric has a limit of its own and one among the further metrics: the tighter one decides."""
    if known.spec is None:
        return
    primary = known.spec.primary_metric
    limits = for_metric(criteria.constraints, primary)
    limit, again = limits.drop_limit, limits.metric_limits.get(primary)
    if limit is None or again is None:
        return
    name = DROP if limits.max_metric_drop_unit is None else UNIT
    unit = difference_unit(known.spec.unit_of(primary))
    first, second = (with_unit(one, unit) for one in (limit, again))
    path = f"constraints.{FIELD}"
    yield (
        Conflicting("primary_limited_twice", Severity.WARNING, f"constraints.{name}", path)
        .resolved("keep-first", f"Keep only the limit of {first}", constraints={FIELD: {primary.value: None}})
        .resolved("keep-second", f"Keep only the limit of {second}", constraints={name: None})
        .says(
            f"The {METRICS[primary].label} is the metric that this data set is judged by. Its loss is limited to "
            f"{first}, and to {second} among the further metrics. Both have to hold, so the tighter one decides. "
            "Keep one of them."
        )
    )


def outputs_not_limited(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The model has several outputs, and only one of them is judged."""
    judged = _judged(known)
    if known.model is None or judged is None or criteria.constraints.max_output_deviation is not None:
        return
    by_labels = criteria.constraints.output_limits
    others = [one.name for one in known.model.outputs if one.name != judged.name and one.name not in by_labels]
    if not others:
        return
    name = "max_output_deviation"
    plain = f"{len(others)} other outputs" if len(others) > 1 else f"the output {others[0]}"
    yield (
        Conflicting("outputs_not_limited", Severity.WARNING, f"constraints.{name}")
        .resolved("limit", "Limit the deviation of the other outputs", constraints={name: USUAL_OUTPUT_DEVIATION})
        .says(
            f"Only {judged.name} is judged: nothing limits how far {plain} may be from the original's. Set a limit on "
            "the other outputs, unless nobody uses them."
        )
    )


def output_not_labelled(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The loss of an output is limited for which the data set has no labels."""
    if known.spec is None:
        return
    name, labelled = "output_limits", tuple(known.spec.output_labels)
    for output in criteria.constraints.output_limits:
        if output in labelled:
            continue
        instead = f"limit {listed(labelled)} instead" if labelled else "choose a data set with its labels"
        yield (
            Conflicting("output_not_labelled", Severity.CONTRADICTION, f"constraints.{name}", subject=output)
            .resolved("remove", f"Remove the limit on the output {output}", constraints={name: {output: None}})
            .says(
                f"The loss of the output {output!r} is limited, but this data set has no labels for it. Remove the "
                f"limit, or {instead}."
            )
        )


def labelled_output_not_limited(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """The data set has labels for a further output, and nothing limits its loss by them."""
    if known.spec is None:
        return
    for output, labels in known.spec.output_labels.items():
        if output in criteria.constraints.output_limits:
            continue
        metric = known.spec.of_output(output).primary_metric
        name, label = "output_limits", METRICS[metric].label
        building = Conflicting("labelled_output_not_limited", Severity.WARNING, f"constraints.{name}", subject=output)
        if METRICS[metric].unit in POINT_UNITS:
            limit = criteria.constraints.max_metric_drop_points or USUAL_POINTS
            title = f"Limit the loss of {label} of {output} to {with_unit(limit, 'points')}"
            building.resolved("limit", title, constraints={name: {output: limit}})
        yield building.says(
            f"The data set has labels for the output {output!r} in {labels.label!r}, and the criteria do not limit its "
            f"loss of {label}. It is measured and reported; only its deviation from the original's can reject a "
            "candidate. Limit its loss."
        )


def _judged(known: Known) -> TensorSpec | None:
    """The judged output; `None` if it is not known, or if the model does not have it (an error of its own)."""
    if known.model is None or known.spec is None or not known.model.outputs:
        return None
    try:
        return judged_output(known.model.outputs, known.spec.output)
    except OutputUnknown:
        return None
