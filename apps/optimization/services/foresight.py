"""Certainty of a session before it starts: what the data can decide, and how often it has been used to judge."""

from __future__ import annotations

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport as Evaluation
from apps.agents.evaluation.decidability import Decidability, Earlier, decidability, earlier_of
from apps.agents.evaluation.repeated_use import RepeatedUse, repeated_use
from apps.models.models import DataSet, ModelVersion
from apps.optimization.models import EvaluationReport, OptimizationSession
from apps.optimization.readings import once

MOST_EARLIER = 30
"""How many evaluations of earlier sessions are considered, newest first."""


def what_is_decided(version: ModelVersion, dataset: DataSet, criteria: Criteria) -> Decidability:
    """What a session with these inputs can decide about the limit on the loss. The data set must be ready."""
    spec = DatasetSpec.model_validate(dataset.spec)
    data, earlier = dataset.described, earlier_evaluations(version, dataset, spec)
    return decidability(spec, data.examples, criteria, earlier, data.groups, data.class_counts)


def earlier_evaluations(version: ModelVersion, dataset: DataSet, spec: DatasetSpec) -> list[Earlier]:
    """How candidates of the same model changed its answers on the same data. Of candidates that broke a limit, only
    the original's value is used. Comparisons of two versions say nothing about candidates."""
    about = (what_is_decided, version.model_id, dataset.pk)
    return once(about, lambda: _earlier_evaluations(version, dataset, spec))


def _earlier_evaluations(version: ModelVersion, dataset: DataSet, spec: DatasetSpec) -> list[Earlier]:
    rows = EvaluationReport.objects.filter(
        candidate__session__dataset=dataset,
        candidate__session__version__model=version.model_id,
        candidate__session__compared=None,
    ).order_by("-created_at")
    newest = rows.exclude(verdict=Holds.VIOLATED).select_related("step")[:MOST_EARLIER]
    reports = [Evaluation.model_validate(row.body) for row in newest]
    found = [earlier_of(report) for report in reports if report.primary.metric == spec.primary_metric]
    return found or _original_alone(rows.filter(verdict=Holds.VIOLATED).select_related("step").first(), spec)


def _original_alone(row: EvaluationReport | None, spec: DatasetSpec) -> list[Earlier]:
    """What a candidate that broke a limit tells nevertheless: the original's value of the metric."""
    if row is None:
        return []
    primary = Evaluation.model_validate(row.body).primary
    return [Earlier(primary.original.value)] if primary.metric == spec.primary_metric else []


def use_of(dataset: DataSet, criteria: Criteria) -> RepeatedUse:
    """The effect of earlier sessions on `dataset` on the verdict of a session that starts now."""
    return repeated_use(OptimizationSession.objects.judged_on(dataset).count(), criteria.confidence)


def use_by(session: OptimizationSession) -> RepeatedUse | None:
    """The same as of the start of `session`; `None` for sessions from before this was counted."""
    if session.sessions_before is None:
        return None
    return repeated_use(session.sessions_before, session.criteria.confidence)
