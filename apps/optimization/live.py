"""The content of a session's live page. The page and every push read it anew and use the same templates."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import EvaluationReport as Evaluation
from apps.agents.contracts.reports.metrics import Finding, MetricComparison
from apps.agents.contracts.reports.runtimes import Gains
from apps.agents.contracts.searching import search_key, search_of_portion
from apps.agents.contracts.state import Phase, Plan, Status, StepKind
from apps.agents.session.steps import ANALYSE
from apps.models import clock
from apps.optimization.edited_plan import ShownEdit, edits_in_words, shown
from apps.optimization.fronts import Scatter, scatter_of
from apps.optimization.lineage import Lineage, Link, exported_analyses, runtime_of_original
from apps.optimization.models import (
    Candidate,
    EvaluationReport,
    LogEntry,
    OptimizationSession,
    SearchTrial,
    SessionComment,
    SessionStep,
)
from apps.optimization.models.choices import LABELS
from apps.optimization.progress import Course, course_of
from apps.optimization.searches import Trials, trials_of_rows
from apps.optimization.services.report import RuntimeReport, runtime_reports
from apps.optimization.waiting import Wait, waits_of

LOG_LINES = 200
COMMENTS = 200
FRAGMENTS = ("head", "edits", "candidates", "runtimes", "curves", "steps", "log", "front", "comments", "announcement")
"""The parts of the page that change. Each is a template `_session_NAME.html` whose root has a stable id, so a push
swaps it.
"""


@dataclass(frozen=True)
class CandidateRow:
    """A candidate with its measurement, if any, and its running step."""

    candidate: Candidate
    evaluation: EvaluationReport | None
    working: SessionStep | None
    runtime: str
    """The name of its runtime."""
    links: tuple[Link, ...]
    """Its chain, with the state of each link."""

    @property
    def findings(self) -> list[Finding]:
        """The findings of its evaluation, apart from the verdicts."""
        findings = self.evaluation.body.get("findings", ()) if self.evaluation else ()
        return [Finding.model_validate(one) for one in findings]

    @property
    def gains(self) -> Gains | None:
        """The runtime's part of its gain, if the runtime has changed."""
        gains = self.evaluation.body.get("gains") if self.evaluation else None
        return Gains.model_validate(gains) if gains else None


@dataclass(frozen=True)
class LiveSearch:
    """A search whose trials are being made, in steps of their own."""

    technique: str
    running: int
    """How many of its steps run now."""
    trials: Trials


@dataclass(frozen=True)
class LiveSession:
    session: OptimizationSession
    phases: list[tuple[str, str]]
    """Each phase with its state: `done`, `now` or `ahead`."""
    candidates: list[CandidateRow]
    steps: list[SessionStep]
    trainings: list[SessionStep]
    """The running steps that train, or the one that trained last: with curves to draw."""
    searches: list[LiveSearch]
    """The searches whose network is not trained yet."""
    log: list[LogEntry]
    metric_label: str
    higher_is_better: bool
    primary: MetricComparison | str
    """The primary metric as it was measured first; its name before that."""
    runtime: str
    """The name of the original's runtime."""
    runtimes: tuple[RuntimeReport, ...]
    """The same float model in every runtime in which it was analysed."""
    scatter: Scatter
    """The measured candidates as a picture."""
    wait: Wait | None
    """Its position in the queue while none of its steps runs."""
    course: Course
    """Its progress and the time that is left."""
    own_time_s: float
    waited_s: float
    comments: list[SessionComment]
    """The newest, in order."""
    edits: list[ShownEdit]
    """What became of the member's edits; empty before the plan."""

    @property
    def edits_in_words(self) -> str:
        return edits_in_words(self.session.edits)

    @property
    def budget_used_s(self) -> float:
        """Its own time, with that of the sessions that it continues."""
        return self.own_time_s + (self.session.earlier or {}).get("worked_s", 0.0)

    @property
    def is_continuable(self) -> bool:
        """Whether it has ended with something that another session can take over."""
        analysed = (step for step in self.steps if step.key == ANALYSE and step.status == Status.COMPLETED)
        ended = not self.session.is_active and self.session.compared_id is None
        return ended and any(step.identity for step in analysed)

    @property
    def several_runtimes(self) -> bool:
        return any(row.runtime != self.runtime for row in self.candidates)


def read(session: OptimizationSession) -> LiveSession:
    """Everything that the page shows about the current state of `session`."""
    evaluations = Prefetch("evaluation", EvaluationReport.objects.select_related("step"))
    candidates = list(session.candidates.prefetch_related(evaluations).order_by("pk"))
    steps = list(session.steps.select_related("artifact").order_by("pk"))
    lineage = Lineage(session, steps)
    working = {step.candidate_key: step for step in steps if step.status == Status.RUNNING and step.candidate_key}
    rows = [_row(candidate, lineage, working) for candidate in candidates]
    now = clock.now()
    newest = list(session.log.order_by("-pk")[:LOG_LINES])
    return LiveSession(
        session=session,
        phases=_phases(session),
        candidates=rows,
        steps=steps,
        trainings=_trainings(steps),
        searches=_searches(session, steps),
        log=newest[::-1],
        metric_label=_(str(_metric(rows).get("label", "Metric"))),
        higher_is_better=bool(_metric(rows).get("higher_is_better", True)),
        primary=_primary(rows, session),
        runtime=runtime_of_original(session.version),
        runtimes=_runtimes(session, steps),
        scatter=_scatter(rows, session),
        wait=waits_of([session], now).get(session.pk),
        course=course_of(session, steps, now),
        own_time_s=session.own_time_s(now, steps),
        waited_s=session.waited_s(now, steps),
        comments=list(session.comments.select_related("author").order_by("-pk")[:COMMENTS])[::-1],
        edits=shown(Plan.model_validate(session.plan).edits) if session.plan and session.edits_body else [],
    )


def _row(candidate: Candidate, lineage: Lineage, working: dict[str, SessionStep]) -> CandidateRow:
    return CandidateRow(
        candidate=candidate,
        evaluation=getattr(candidate, "evaluation", None),
        working=working.get(candidate.key),
        runtime=lineage.runtime_of(candidate),
        links=lineage.links(candidate),
    )


def _scatter(rows: list[CandidateRow], session: OptimizationSession) -> Scatter:
    measured = [
        (row.candidate.key, row.candidate.title, row.candidate.status, Evaluation.model_validate(row.evaluation.body))
        for row in rows
        if row.evaluation
    ]
    return scatter_of(measured, session.criteria)


def _trainings(steps: list[SessionStep]) -> list[SessionStep]:
    drawn = [step for step in steps if step.curves]
    return [step for step in drawn if step.status == Status.RUNNING] or drawn[-1:]


def _searches(session: OptimizationSession, steps: list[SessionStep]) -> list[LiveSearch]:
    """Until the network found is being trained, whose step tells of all trials."""
    training = {
        search_key(one.technique, one.parameters, one.parents) for one in steps if one.kind == StepKind.OPTIMIZE
    }
    open_ = [one for one in steps if one.kind == StepKind.SUPERNET and one.key not in training]
    if not open_:
        return []
    rows: dict[str, list[SearchTrial]] = defaultdict(list)
    for row in session.search_trials.filter(search__in=[one.key for one in open_]).order_by("number"):
        rows[row.search].append(row)
    running = Counter(
        search_of_portion(one.key) for one in steps if one.kind == StepKind.TRIALS and one.status == Status.RUNNING
    )
    return [
        LiveSearch(one.technique, running[one.key], trials_of_rows(rows[one.key], one.result.get("limit_ms")))
        for one in open_
        if rows[one.key]
    ]


def _runtimes(session: OptimizationSession, steps: list[SessionStep]) -> tuple[RuntimeReport, ...]:
    """Empty until there are two runtimes to compare."""
    exported = exported_analyses(session, steps)
    original = getattr(session, "analysis", None) if exported else None
    if original is None:
        return ()
    return runtime_reports(*(AnalysisReport.model_validate(body) for body in (original.body, *exported)))


def _phases(session: OptimizationSession) -> list[tuple[str, str]]:
    order = list(Phase) if session.compared_id is None else [Phase.ANALYSING, Phase.EVALUATING]
    at = order.index(Phase(session.phase))
    if session.status == Status.COMPLETED:
        at = len(order)
    now = "now" if session.is_active else "stopped"
    return [
        (str(LABELS[phase.value]), "done" if place < at else now if place == at else "ahead")
        for place, phase in enumerate(order)
    ]


def _metric(rows: list[CandidateRow]) -> dict[str, Any]:
    """The label of the primary metric, once it has been measured; empty before."""
    measured = next((row.evaluation for row in rows if row.evaluation), None)
    return measured.body["metrics"][0] if measured else {}


def _primary(rows: list[CandidateRow], session: OptimizationSession) -> MetricComparison | str:
    if measured := _metric(rows):
        return MetricComparison.model_validate(measured)
    return DatasetSpec.model_validate(session.dataset.spec).primary_metric


def fragments(session: OptimizationSession, *, writes: bool, reader_id: int | None = None) -> dict[str, str]:
    """The rendered fragments of the page by name, with or without the controls for members who may write (`writes`),
    and with those for the reader's own comments.
    """
    reading = {"live": read(session), "writes": writes, "reader_id": reader_id}
    return {name: render_to_string(f"optimization/_session_{name}.html", reading) for name in FRAGMENTS}
