"""What the live page of a session shows, read afresh for the page and for every push: one reading, one template."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch

from apps.agents.state import Phase, Status
from apps.optimization.models import Candidate, EvaluationReport, LogEntry, OptimizationSession, SessionStep

LOG_LINES = 200


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
    """JSON for `static/js/session.js`."""


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
        plot=json.dumps(_plot(rows)),
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


def _plot(rows: list[CandidateRow]) -> dict[str, Any]:
    """Points of accuracy against latency. The original is measured beside every candidate; its first reading stands."""
    measured = [row for row in rows if row.evaluation]
    if not measured:
        return {"points": []}
    bodies = [row.evaluation.body for row in measured if row.evaluation]
    primary = bodies[0]["metrics"][0]
    original = {
        "key": "original",
        "title": "Original",
        "status": "original",
        "latency_ms": bodies[0]["latency"]["original"]["p50_ms"],
        **_metric(primary["original"]),
    }
    points = [original]
    for row, body in zip(measured, bodies, strict=True):
        points.append(
            {
                "key": row.candidate.key,
                "title": row.candidate.title,
                "status": row.candidate.status,
                "latency_ms": body["latency"]["candidate"]["p50_ms"],
                **_metric(body["metrics"][0]["candidate"]),
            }
        )
    return {"points": points, "metric": f"{primary['label']} ({primary['unit']})"}


def _metric(estimate: dict[str, Any]) -> dict[str, Any]:
    return {"metric": estimate["value"], "low": estimate["low"], "high": estimate["high"]}
