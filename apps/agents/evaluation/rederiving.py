"""Derives the verdicts of an evaluation anew from its measurements, under other criteria. Nothing is measured again.

Intervals belong to a confidence, and a comparison of outputs may have ended early because the evidence was clear for
the limits of that time. Where such a measurement does not answer the new question, `why_not` says why, and the
candidate has to be measured again.
"""

from __future__ import annotations

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.evaluation.measured import Measurements
from apps.agents.evaluation.verdicts import judge, overall

_ON_OUTPUTS = (
    "drop_limit",
    "max_metric_drop_relative",
    "group_limit",
    "max_class_drop_points",
    "metric_limits",
    "output_limits",
    "max_output_deviation",
)
"""The limits that decide how many examples are compared."""


def why_not(report: EvaluationReport, before: Criteria, after: Criteria) -> str | None:
    """Why a measurement under the criteria `before` does not answer the question of `after`; `None` if it does."""
    if before.target != after.target:
        return "it was measured on another target"
    if before.confidence != after.confidence:
        return f"its intervals are for a confidence of {before.confidence:g}, not {after.confidence:g}"
    if report.bytes_of(after.counted_size) is None:
        return f"the size of {after.counted_size.subject} was not measured"
    if missing := after.constraints.metric_limits.keys() - {one.metric for one in report.metrics}:
        return f"the {METRICS[min(missing)].label} was not measured"
    if missing_outputs := after.constraints.output_limits.keys() - {one.output for one in report.labelled_outputs}:
        return f"the output {min(missing_outputs)} was not measured by labels"
    if _ended_early(report) and _on_outputs(before.constraints) != _on_outputs(after.constraints):
        return "the comparison of outputs ended early, because the evidence was clear for other limits"
    if after.constraints.max_class_drop_points is not None and any(one.simultaneous is None for one in report.classes):
        return "the interval of each class's loss was not measured"
    if report.latency.busy:
        return "the machine was too busy to time it"
    return None


def rederived(report: EvaluationReport, criteria: Criteria) -> EvaluationReport:
    """`report` with the verdicts of `criteria`. Its measurements must answer them (`why_not`)."""
    counted = report.model_copy(update={"counted_size": criteria.counted_size})
    constraints = judge(criteria.constraints, _measurements(counted))
    return counted.model_copy(update={"constraints": constraints, "verdict": overall(constraints)})


def _measurements(report: EvaluationReport) -> Measurements:
    latency = report.latency
    guessed = Estimate(value=latency.candidate.p50_ms, low=0.0, high=UNKNOWN)
    return Measurements(
        primary=report.primary,
        examples=report.examples,
        latency=latency,
        candidate_latency_ms=latency.candidate_p50_ms or guessed,
        size_bytes=report.counted_bytes,
        counted_size=report.counted_size,
        peak_memory_bytes=report.peak_memory_bytes,
        confidence=report.confidence,
        groups=report.groups,
        group_metric=Metric(report.group_metric) if report.group_metric else None,
        metrics=report.metrics,
        labelled=report.labelled_outputs,
        other_outputs=report.other_outputs,
        classes=report.classes,
    )


def _ended_early(report: EvaluationReport) -> bool:
    return report.examples_of_part is not None and report.examples < report.examples_of_part


def _on_outputs(limits: Constraints) -> tuple[object, ...]:
    return tuple(getattr(limits, name) for name in _ON_OUTPUTS)
