"""A session's result as one value, shared by the page, the API and the package."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.utils.translation import gettext as _

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.reports.analysis import AnalysisReport, Generation
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.front import Front
from apps.agents.contracts.reports.measurements import Latency, ModeLatency
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.reports.slack import Nearest
from apps.agents.contracts.state import CandidateStatus, Closing, Outcome, Plan, Prediction, StepKind, Verdict
from apps.agents.contracts.values import Value
from apps.agents.evaluation.pareto import Measured as OnFront
from apps.agents.evaluation.pareto import front_of
from apps.agents.evaluation.repeated_use import RepeatedUse
from apps.agents.evaluation.slack import nearest_measured
from apps.agents.planning.baseline import Measured, against_baseline
from apps.agents.session.finalists import at_level
from apps.agents.session.headline import headline_of
from apps.agents.session.required import RequiredTechnique, Tried, what_became_of
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.compatibility import format_label
from apps.models.intake import safe_filename
from apps.models.models import Blob
from apps.optimization.errors.results import NoPackage, NoReport
from apps.optimization.lineage import Lineage, Link, exported_analyses, format_of_candidate, runtime_of_original
from apps.optimization.memory import minutes_spent
from apps.optimization.models import Candidate, OptimizationSession, SessionStep
from apps.optimization.services.foresight import use_by
from apps.optimization.services.taking import SessionDecision, TakingOutcome, decisions_of, packages_among, requests_of
from apps.optimization.taking_over import TakenOver


class CandidateReport(Value):
    key: str
    title: str
    technique: str
    parameters: dict[str, Any]
    steps: tuple[Link, ...]
    """Its chain, from the original to the candidate: `technique` and `parameters` are those of the last link."""
    parent: str | None
    """The candidate that this one repairs."""
    status: CandidateStatus
    reason: str
    score: float | None
    predicted: Prediction
    evaluation: EvaluationReport | None
    """The measurement, for comparison with `predicted`; `None` if there is none."""
    digest: str | None
    """SHA-256 of the artifact, if one was made."""
    size_bytes: int | None
    format: str
    """The artifact's format (`apps.agents.contracts.formats`)."""
    runtime: str
    """The name of its runtime."""
    checks: tuple[str, ...]
    """What was checked when it was made, one sentence each: what stayed in float, too."""
    minutes: float | None = None
    """What making it and ranking it took, for comparison with `predicted.minutes`; `None` if it was not measured."""

    @property
    def last(self) -> Link:
        return self.steps[-1]


class RuntimeReport(Value):
    """The float model in one runtime, measured on its own by its analysis."""

    runtime: str
    format: str
    latency: Latency
    peak_memory_bytes: int
    size_bytes: int
    layers: int
    generation: Generation | None
    modes: tuple[ModeLatency, ...]
    """Measurements of the same file in other modes of the runtime."""


class AuditLine(Value):
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str


class TakenOverLine(Value):
    """A step that was not carried out, because an earlier session had done the same."""

    step: str
    kind: StepKind
    title: str
    """The candidate or the technique that it is about; empty for the original."""
    source: TakenOver


class SessionReport(Value):
    """Original and candidates compared, every number with its interval; the reasoning of the plan; the
    limits missed.
    """

    session: UUID
    model: str
    """Name and version."""
    model_digest: str
    """SHA-256 of the original."""
    model_summary: ModelSummary
    dataset: str
    dataset_digest: str
    dataset_summary: DatasetSummary
    student: str | None = None
    """Name and version of the model that was to be trained with the original as its teacher, if there was one."""
    student_digest: str | None = None
    compared: str | None = None
    """If the session is a comparison: name and version of what is judged against the model."""
    compared_digest: str | None = None
    criteria: Criteria
    criteria_name: str
    seed: int
    created_at: datetime
    finished_at: datetime | None
    elapsed_s: float
    """Wall-clock time."""
    worked_s: float = 0.0
    """The session's own time, during which at least one of its steps ran. Its budget counts this."""
    waited_s: float = 0.0
    """Time during which none of its steps ran: behind other sessions, or in a backoff."""
    outcome: Outcome
    verdict: Verdict
    runtime: str
    """The name of the original's runtime."""
    analysis: AnalysisReport | None
    exported: tuple[AnalysisReport, ...]
    """Analyses of the exports of the original."""
    plan: Plan | None
    candidates: tuple[CandidateReport, ...]
    decisions: tuple[AuditLine, ...]
    against_baseline: dict[str, str]
    """How each calibrated 4-bit method compares with plain rounding at the same bits, one sentence per candidate."""
    required: tuple[RequiredTechnique, ...] = ()
    """What became of the techniques that the criteria require."""
    use: RepeatedUse | None = None
    """How often the data had been used to judge when the session started, and the effect on its verdict."""
    continues: UUID | None = None
    """The session that it continues, unless that was deleted."""
    taken_over: tuple[TakenOverLine, ...] = ()
    """What was made or measured by earlier sessions and was not done again."""
    front: Front = Front()
    """The measured candidates between speed, size and loss, and which of them no other one beats."""
    nearest: Nearest | None = None
    """If the original stands: the candidate that comes nearest to holding every limit, and what is left up to each."""
    delivered: tuple[SessionDecision, ...] = ()
    """Every result that the session has delivered, in order: the manager's, and those that members took."""
    requests: tuple[TakingOutcome, ...] = ()
    """Members' requests to deliver another candidate, and how each ended."""
    decision: int = 0
    """The number of the decision that this report is about."""
    package_finding: str | None = None
    """Why the package is not known to run, in one sentence; `None` if its script has run the model, or before
    packaging.
    """

    @property
    def runtimes(self) -> tuple[RuntimeReport, ...]:
        """The same float model in every runtime in which it was analysed, the original's first."""
        return runtime_reports(self.analysis, *self.exported)

    @property
    def primary(self) -> MetricComparison | None:
        """The primary metric of the first candidate that was measured; `None` if none was."""
        measured = next((one.evaluation for one in self.candidates if one.evaluation), None)
        return measured.primary if measured else None

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value of the primary metric is better; true if none was measured."""
        return self.primary.higher_is_better if self.primary else True

    @property
    def several_runtimes(self) -> bool:
        return any(candidate.runtime != self.runtime for candidate in self.candidates)

    @property
    def winner(self) -> CandidateReport | None:
        """The winning candidate, if any."""
        return next((one for one in self.candidates if one.key == self.verdict.candidate), None)

    @property
    def others(self) -> tuple[CandidateReport, ...]:
        """The measured candidates other than the winner."""
        return tuple(one for one in self.candidates if one.evaluation and one.key != self.verdict.candidate)


def report(session: OptimizationSession, packaging: SessionStep | None = None) -> SessionReport:
    """The report of a session with a verdict, about its present decision or that of the step `packaging`.

    Raises `NoReport` before there is a verdict.
    """
    verdict = verdict_of(session, packaging)
    if verdict is None:
        raise NoReport(status=session.status)
    analysis = getattr(session, "analysis", None)
    steps = list(session.steps.select_related("artifact").order_by("pk"))
    candidates = _candidates(session, steps, verdict)
    plan = Plan.model_validate(session.plan) if session.plan else None
    chosen = next((one.evaluation for one in candidates if one.key == verdict.candidate), None)
    verdict = verdict.model_copy(update={"headline": headline_of(verdict, chosen, session.criteria)})
    return SessionReport(
        **_inputs(session),
        criteria=session.criteria,
        criteria_name=str(session.criteria_set or _("its own")),
        seed=session.seed,
        created_at=session.created_at,
        finished_at=session.finished_at,
        elapsed_s=session.elapsed_s(),
        worked_s=session.own_time_s(),
        waited_s=session.waited_s(),
        outcome=verdict.outcome,
        verdict=verdict,
        runtime=runtime_of_original(session.version),
        analysis=AnalysisReport.model_validate(analysis.body) if analysis else None,
        exported=tuple(AnalysisReport.model_validate(body) for body in exported_analyses(session, steps)),
        plan=plan,
        candidates=candidates,
        required=_required(session, plan, candidates),
        against_baseline=against_baseline(
            [Measured(one, one.evaluation) for one in candidates if one.evaluation], catalogue(), closed=True
        ),
        use=use_by(session),
        continues=session.continues_id,
        taken_over=_taken_over(steps),
        front=_front(candidates),
        nearest=_nearest(verdict, candidates),
        delivered=decisions_of(session, steps),
        requests=requests_of(session, steps),
        decision=verdict.taken.number if verdict.taken else 0,
        package_finding=_package_finding(steps, packaging),
        decisions=_audit_lines(session),
    )


def _inputs(session: OptimizationSession) -> dict[str, Any]:
    """The fields of a report about what the session was given."""
    return {
        "session": session.pk,
        "model": str(session.version),
        "model_digest": session.version.blob_id,
        "model_summary": session.version.metadata.summary,
        "dataset": session.dataset.name,
        "dataset_digest": session.dataset.blob_id,
        "dataset_summary": session.dataset.described,
        "student": str(session.student) if session.student else None,
        "student_digest": session.student.blob_id if session.student else None,
        "compared": str(session.compared) if session.compared else None,
        "compared_digest": session.compared.blob_id if session.compared else None,
    }


_TALK = ("comment.", "report.")
"""The beginnings of actions that say nothing about the result: comments, and whom the report was shown to."""


def _audit_lines(session: OptimizationSession) -> tuple[AuditLine, ...]:
    return tuple(
        AuditLine(at=event.at, actor=event.actor, action=event.action, subject=event.subject, reason=event.reason)
        for event in session.audit_events.in_order()
        if not event.action.startswith(_TALK)
    )


def _required(
    session: OptimizationSession, plan: Plan | None, candidates: tuple[CandidateReport, ...]
) -> tuple[RequiredTechnique, ...]:
    criteria = session.criteria
    if not criteria.required_techniques:
        return ()
    chains = {row.key: row.chain for row in session.candidates.all()}
    tried = [
        Tried(
            key=one.key,
            techniques=frozenset(link.technique for link in chains[one.key] if not link.optional),
            measured=one.evaluation is not None,
            status=one.status,
            reason=one.reason,
        )
        for one in candidates
    ]
    return what_became_of(criteria, plan, tried, catalogue())


def runtime_reports(*analyses: AnalysisReport | None) -> tuple[RuntimeReport, ...]:
    """The float model in the runtime of each of these analyses."""
    return tuple(
        RuntimeReport(
            runtime=runtime_of(analysis.model.format),
            format=format_label(analysis.model.format),
            latency=analysis.latency,
            peak_memory_bytes=analysis.peak_memory_bytes,
            size_bytes=analysis.model.size_bytes,
            layers=len(analysis.layers),
            generation=analysis.generation,
            modes=analysis.modes,
        )
        for analysis in analyses
        if analysis is not None
    )


def front_of_session(session: OptimizationSession) -> Front:
    """The front of what the session has measured so far."""
    rows = session.candidates.filter(evaluation__isnull=False).select_related("evaluation__step").order_by("pk")
    measured = [(row, EvaluationReport.model_validate(row.evaluation.body)) for row in rows]
    return front_of([OnFront(row.key, row.title, row.status, report) for row, report in measured])


def _front(candidates: tuple[CandidateReport, ...]) -> Front:
    return front_of([OnFront(one.key, one.title, one.status, one.evaluation) for one in candidates if one.evaluation])


def _nearest(verdict: Verdict, candidates: tuple[CandidateReport, ...]) -> Nearest | None:
    """That of the verdict. For older verdicts it is derived from the evaluations."""
    if verdict.candidate is not None:
        return None
    reports = {one.key: one.evaluation for one in candidates if one.evaluation}
    return verdict.nearest or nearest_measured(reports, {one.key: one.title for one in candidates})


def verdict_of(session: OptimizationSession, packaging: SessionStep | None = None) -> Verdict | None:
    """The verdict: that of the step `packaging` if it is given, else the final one on the session, or the one in its
    package step while the package is being made."""
    if packaging is not None:
        return Closing.model_validate(packaging.parameters).verdict
    if session.verdict is not None:
        return Verdict.model_validate(session.verdict)
    packaging = session.steps.filter(kind=StepKind.PACKAGE).order_by("-pk").first()
    return Closing.model_validate(packaging.parameters).verdict if packaging else None


def _taken_over(steps: list[SessionStep]) -> tuple[TakenOverLine, ...]:
    return tuple(
        TakenOverLine(
            step=one.key,
            kind=StepKind(one.kind),
            title=one.candidate_key or one.technique,
            source=TakenOver.model_validate(one.taken_from),
        )
        for one in steps
        if one.taken_from
    )


def _package_finding(steps: list[SessionStep], packaging: SessionStep | None) -> str | None:
    packed = packaging or next(reversed(packages_among(steps)), None)
    return packed.result.get("finding") if packed else None


class Package(NamedTuple):
    """The zip file of a session's package, and its download name."""

    blob: Blob
    filename: str


def package_of(session: OptimizationSession, packaging: SessionStep | None = None) -> Package:
    """The session's package, or that of an earlier decision, whose step is `packaging`. Raises `NoPackage`."""
    blob = packaging.artifact if packaging else session.package
    if blob is None:
        raise NoPackage(reason=session.error or f"it is {session.status}.")
    name = f"{session.version.model.name}-{session.pk.hex[:8]}.zip"
    return Package(blob, safe_filename(name.replace(" ", "-")))


def _candidates(
    session: OptimizationSession, steps: list[SessionStep], verdict: Verdict
) -> tuple[CandidateReport, ...]:
    lineage, rows = Lineage(session, steps), session.candidates.select_related("evaluation__step")
    return tuple(_candidate(row, lineage, format_of_candidate(session, row), verdict) for row in rows)


def _status(row: Candidate, verdict: Verdict) -> CandidateStatus:
    """A candidate's status as far as `verdict` is concerned: another decision may have selected another candidate."""
    if row.key == verdict.candidate:
        return CandidateStatus.SELECTED
    status = CandidateStatus(row.status)
    return CandidateStatus.ACCEPTED if status is CandidateStatus.SELECTED else status


def _candidate(row: Candidate, lineage: Lineage, made: str, verdict: Verdict) -> CandidateReport:
    """The report on one candidate. `made` is its format. The winner shows the interval with which it was proven."""
    maker, links = lineage.makers.get(row.key), lineage.links(row)
    artifact = maker.artifact if maker else row.session.compared.blob if row.session.compared else None
    evaluation = EvaluationReport.model_validate(row.evaluation.body) if hasattr(row, "evaluation") else None
    if evaluation is not None and verdict.choice is not None and row.key == verdict.candidate:
        evaluation = at_level(evaluation, verdict.choice.sharing)
    return CandidateReport(
        key=row.key,
        title=row.title,
        technique=row.technique,
        parameters=links[-1].parameters,
        steps=links,
        parent=row.parent_key or None,
        status=_status(row, verdict),
        reason=row.reason,
        score=row.score,
        predicted=Prediction.model_validate(row.predicted),
        evaluation=evaluation,
        digest=artifact.sha256 if artifact else None,
        size_bytes=artifact.size_bytes if artifact else None,
        format=made,
        runtime=runtime_of(made),
        checks=tuple(maker.result.get("checks", ())) if maker else (),
        minutes=minutes_spent(row.session, row, lineage) if evaluation else None,
    )
