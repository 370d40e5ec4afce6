"""Follows a completed session that was reopened to measure speed by batch size and threads.

The measurement changes nothing that was decided, so the manager is not asked: once the step has ended, however it did,
the session is completed again with the verdict that stands.
"""

from __future__ import annotations

from apps.agents.contracts.state import ACTIVE, Status, StepKind
from apps.audit import trail
from apps.optimization.models import OptimizationSession, SessionStep

CANCELLED = "The measurement of speed was cancelled. The verdict stands."


def asked_last(session: OptimizationSession) -> SessionStep | None:
    """The step for which the session was reopened, if that is such a measurement."""
    last = session.steps.order_by("-pk").first()
    return last if session.verdict is not None and last is not None and last.kind == StepKind.MATRIX else None


def follow(session: OptimizationSession, step: SessionStep) -> None:
    """Completes the session again once `step`, and what it waited for, has ended. The session is locked."""
    if session.steps.filter(status__in=ACTIVE).exists():
        return
    session.settle()
    measured = step.status == Status.COMPLETED
    reason = "Speed was measured by batch size and threads." if measured else step.error or CANCELLED
    session.log.create(step_key=step.key, level="info" if measured else "warning", message=reason)
    trail.record(
        "session.speed_measured" if measured else "session.speed_not_measured",
        session=session,
        subject=step.candidate_key,
        reason=reason,
    )
