"""What can be done to several sessions at once. Each is checked and recorded as if it were the only one."""

from __future__ import annotations

from apps.agents.contracts.state import Status
from apps.bulk import Act
from apps.optimization.models import OptimizationSession
from apps.optimization.services.lifecycle import session_cancel, session_resume
from apps.optimization.services.removal import session_delete


def _not_cancellable(session: OptimizationSession) -> str:
    return "" if session.is_active else f"It has ended: {session.status}."


def _not_resumable(session: OptimizationSession) -> str:
    stopped = session.status in (Status.FAILED, Status.CANCELLED)
    return "" if stopped else f"It is {session.status}. Only failed and cancelled sessions can be resumed."


def _not_deletable(session: OptimizationSession) -> str:
    return f"It is {session.status}. Cancel it first." if session.is_active else ""


SESSION_ACTS: dict[str, Act[OptimizationSession]] = {
    act.name: act
    for act in (
        Act(
            "cancel",
            "Cancel",
            "being cancelled",
            "No further step starts, and running ones stop. Results measured so far remain.",
            _not_cancellable,
            session_cancel,
        ),
        Act(
            "resume",
            "Resume",
            "resumed",
            "Completed steps stay, and what failed or was stopped is repeated.",
            _not_resumable,
            session_resume,
        ),
        Act(
            "delete",
            "Delete",
            "deleted",
            "Reports, log and files go for good. Promoted versions and the audit trail stay.",
            _not_deletable,
            session_delete,
            danger=True,
        ),
    )
}
