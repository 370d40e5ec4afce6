"""What the live page of a session shows, read afresh for the page and for every push: one reading, one template."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Prefetch
from django.template.loader import render_to_string

from apps.agents.state import Phase, Status
from apps.optimization import plots
from apps.optimization.models import Candidate, EvaluationReport, LogEntry, OptimizationSession, SessionStep

LOG_LINES = 200
FRAGMENTS = ("head", "candidates", "steps", "log", "plot", "announcement")
"""What of the page changes. Each is a template `_session_NAME.html` whose root has a stable id, so a push swaps it."""


@dataclass(frozen=True)
class CandidateRow:
    """A candidate with its measurement, where there is one, and its step at work."""

    candidate: Candidate
    evaluation: EvaluationReport | None
    working: SessionStep | None


@dataclass(frozen=True)
class LiveSession:
    session: OptimizationSession
    phases: list[tuple[str, str]]
    """Each phase with `done`, `now` or `ahead`."""
    candidates: list[CandidateRow]
    steps: list[SessionStep]
    log: list[LogEntry]
    metric_label: str
    plot: str
    """JSON for `static/js/plots.js`."""


def read(session: OptimizationSession) -> LiveSession:
    """Everything that the page shows of `session` as it stands."""
    candidates = list(
        session.candidates.prefetch_related(Prefetch("evaluation", EvaluationReport.objects.all())).order_by("pk")
    )
    steps = list(session.steps.order_by("pk"))
    working = {step.candidate_key: step for step in steps if step.status == Status.RUNNING and step.candidate_key}
    rows = [CandidateRow(c, getattr(c, "evaluation", None), working.get(c.key)) for c in candidates]
    newest = list(session.log.order_by("-pk")[:LOG_LINES])
    return LiveSession(
        session=session,
        phases=_phases(session),
        candidates=rows,
        steps=steps,
        log=newest[::-1],
        metric_label=_metric_label(rows),
        plot=plots.tradeoff([(row.candidate, row.evaluation.body) for row in rows if row.evaluation]),
    )


def _phases(session: OptimizationSession) -> list[tuple[str, str]]:
    order = list(Phase)
    at = order.index(Phase(session.phase))
    if session.status == Status.COMPLETED:
        at = len(order)
    now = "now" if session.is_active else "stopped"
    return [
        (phase.value.capitalize(), "done" if place < at else now if place == at else "ahead")
        for place, phase in enumerate(order)
    ]


def _metric_label(rows: list[CandidateRow]) -> str:
    measured = next((row.evaluation for row in rows if row.evaluation), None)
    return measured.body["metrics"][0]["label"] if measured else "Metric"


def fragments(session: OptimizationSession, *, writes: bool) -> dict[str, str]:
    """Each fragment of the page by its name, as the session stands for who `writes` in its team, or only looks."""
    reading = {"live": read(session), "writes": writes}
    return {name: render_to_string(f"optimization/_session_{name}.html", reading) for name in FRAGMENTS}
