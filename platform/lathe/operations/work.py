"""The sessions that failed and the steps that took longest, over all teams."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import BooleanField, DurationField, ExpressionWrapper, F, Q, QuerySet

from apps.agents.contracts.state import Status
from apps.agents.contracts.values import Value
from apps.models import clock
from apps.optimization.models import OptimizationSession, SessionStep

LATELY = timedelta(days=7)
MOST_STEPS = 10
MOST_FAILED = 50


class SlowStep(Value):
    """The last run of a step that took long."""

    session: UUID
    title: str
    """The model's version."""
    team: str
    step: str
    kind: str
    technique: str
    """Empty for steps that apply none."""
    status: str
    worker: str
    duration_s: float
    finished_at: datetime


class FailedSession(Value):
    """A session that failed and was neither resumed nor deleted since."""

    session: UUID
    title: str
    team: str
    code: str
    sentence: str
    """What its members were told."""
    errored: bool
    """Whether the cause is a bug in Lathe, with a traceback in the admin."""
    failed_at: datetime | None


def slowest_steps() -> tuple[SlowStep, ...]:
    """Of the last seven days, the slowest first."""
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    ended = SessionStep.objects.filter(finished_at__gte=clock.after(-LATELY), started_at__isnull=False)
    rows = ended.annotate(took=took).order_by("-took").select_related("session__version__model", "session__team")
    names = ("key", "kind", "technique", "status", "worker", "started_at", "finished_at")
    shown = (*names, "session__version__number", "session__version__model__name", "session__team__slug")
    return tuple(_slow(step) for step in rows.only(*shown)[:MOST_STEPS])


def _slow(step: SessionStep) -> SlowStep:
    assert step.finished_at is not None
    return SlowStep(
        session=step.session_id,
        title=str(step.session.version),
        team=step.session.team.slug,
        step=step.key,
        kind=step.kind,
        technique=step.technique,
        status=step.status,
        worker=step.worker,
        duration_s=step.duration_s or 0.0,
        finished_at=step.finished_at,
    )


def failed() -> QuerySet[OptimizationSession]:
    """The sessions of all teams that have failed, the last first."""
    rows = OptimizationSession.objects.filter(status=Status.FAILED).order_by("-finished_at")
    return rows.select_related("version__model", "team").defer("plan", "traceback")


def failed_sessions() -> tuple[FailedSession, ...]:
    """The newest of them."""
    errored = ExpressionWrapper(~Q(traceback=""), output_field=BooleanField())
    return tuple(
        FailedSession(
            session=session.pk,
            title=str(session.version),
            team=session.team.slug,
            code=session.error_code,
            sentence=session.error,
            errored=session.errored,
            failed_at=session.finished_at,
        )
        for session in failed().annotate(errored=errored)[:MOST_FAILED]
    )
