"""A session's result as one value, shared by the page, the API and the package."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from apps.agents.criteria import Criteria
from apps.agents.reports import AnalysisReport, DatasetSummary, EvaluationReport, ModelSummary
from apps.agents.state import CandidateStatus, Closing, Outcome, Plan, Prediction, StepKind, Verdict
from apps.agents.values import Value
from apps.models.intake import safe_filename
from apps.models.models import Blob
from apps.optimization.errors import NoPackage, NoReport
from apps.optimization.lineage import makers
from apps.optimization.models import Candidate, OptimizationSession, SessionStep


class CandidateReport(Value):
    key: str
    title: str
    technique: str
    parameters: dict[str, Any]
    parent: str | None
    """The candidate that this one repairs."""
    status: CandidateStatus
    reason: str
    score: float | None
    predicted: Prediction
    evaluation: EvaluationReport | None
    """What was measured, to be held against `predicted`; `None` where it was not."""
    digest: str | None
    """SHA-256 of the artifact, where one was made."""
    size_bytes: int | None


class AuditLine(Value):
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str


class SessionReport(Value):
    """Original against candidates, every number with its interval; the argument of the plan; what stood in the way."""

    session: UUID
    model: str
    """Name and version."""
    model_digest: str
    """SHA-256 of the original."""
    model_summary: ModelSummary
    dataset: str
    dataset_digest: str
    dataset_summary: DatasetSummary
    criteria: Criteria
    criteria_name: str
    seed: int
    created_at: datetime
    finished_at: datetime | None
    elapsed_s: float
    outcome: Outcome
    verdict: Verdict
    analysis: AnalysisReport | None
    plan: Plan | None
    candidates: tuple[CandidateReport, ...]
    decisions: tuple[AuditLine, ...]

    @property
    def winner(self) -> CandidateReport | None:
        """The candidate that is handed over, if one is."""
        return next((one for one in self.candidates if one.key == self.verdict.candidate), None)

    @property
    def others(self) -> tuple[CandidateReport, ...]:
        """The candidates that were measured and are not handed over."""
        return tuple(one for one in self.candidates if one.evaluation and one.key != self.verdict.candidate)


def report(session: OptimizationSession) -> SessionReport:
    """The report of a session that has come to a verdict. Raises `NoReport` before."""
    verdict = verdict_of(session)
    if verdict is None:
        raise NoReport(status=session.status)
    analysis = getattr(session, "analysis", None)
    return SessionReport(
        session=session.pk,
        model=str(session.version),
        model_digest=session.version.blob_id,
        model_summary=session.version.metadata.summary,
        dataset=session.dataset.name,
        dataset_digest=session.dataset.blob_id,
        dataset_summary=session.dataset.described,
        criteria=session.criteria,
        criteria_name=str(session.criteria_set or "its own"),
        seed=session.seed,
        created_at=session.created_at,
        finished_at=session.finished_at,
        elapsed_s=session.elapsed_s(),
        outcome=verdict.outcome,
        verdict=verdict,
        analysis=AnalysisReport.model_validate(analysis.body) if analysis else None,
        plan=Plan.model_validate(session.plan) if session.plan else None,
        candidates=_candidates(session),
        decisions=tuple(
            AuditLine(at=event.at, actor=event.actor, action=event.action, subject=event.subject, reason=event.reason)
            for event in session.audit_events.in_order()
        ),
    )


def verdict_of(session: OptimizationSession) -> Verdict | None:
    """The verdict: final on the session, or frozen into its package step while the package is still being made."""
    if session.verdict is not None:
        return Verdict.model_validate(session.verdict)
    packaging = session.steps.filter(kind=StepKind.PACKAGE).order_by("-pk").first()
    return Closing.model_validate(packaging.parameters).verdict if packaging else None


class Package(NamedTuple):
    """The zip that a session hands over, and the name to download it under."""

    blob: Blob
    filename: str


def package_of(session: OptimizationSession) -> Package:
    """What the session hands over. Raises `NoPackage`."""
    if session.package is None:
        raise NoPackage(reason=session.error or f"it is {session.status}.")
    name = f"{session.version.model.name}-{session.pk.hex[:8]}.zip"
    return Package(session.package, safe_filename(name.replace(" ", "-")))


def _candidates(session: OptimizationSession) -> tuple[CandidateReport, ...]:
    made = makers(session)
    rows = session.candidates.select_related("evaluation")
    return tuple(_candidate(row, made.get(row.key)) for row in rows)


def _candidate(row: Candidate, maker: SessionStep | None) -> CandidateReport:
    artifact = maker.artifact if maker else None
    evaluation = getattr(row, "evaluation", None)
    return CandidateReport(
        key=row.key,
        title=row.title,
        technique=row.technique,
        parameters=row.parameters,
        parent=row.parent_key or None,
        status=CandidateStatus(row.status),
        reason=row.reason,
        score=row.score,
        predicted=Prediction.model_validate(row.predicted),
        evaluation=EvaluationReport.model_validate(evaluation.body) if evaluation else None,
        digest=artifact.sha256 if artifact else None,
        size_bytes=artifact.size_bytes if artifact else None,
    )
