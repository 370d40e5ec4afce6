"""Deletes sessions: rows immediately, files once nothing else refers to them. The audit trail stays."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.models.models import DataSet, ModelVersion
from apps.optimization.errors.lifecycle import SessionMoveRefused
from apps.optimization.models import OptimizationSession


@transaction.atomic
def session_delete(session: OptimizationSession, user: User, *, as_operator: bool = False) -> None:
    """Removes a session with its candidates, reports, steps and log. Promoted versions and audit events stay.

    Raises `PermissionDenied` below engineer, `SessionMoveRefused` while it runs.
    """
    if not (as_operator and user.is_staff):
        require_role(user, session.team, Role.ENGINEER)
    remove(OptimizationSession.objects.locked(session.pk), user)


def remove(session: OptimizationSession, user: User | None, reason: str = "") -> None:
    """Removes a session whose row is locked. `user` is `None` if the team's retention removes it."""
    if session.is_active:
        raise SessionMoveRefused(move="be deleted", status=session.status)
    trail.record(
        "session.deleted",
        actor=user,
        session=session,
        subject=str(session),
        reason=reason,
        data={"dataset": str(session.dataset), "status": session.status, "outcome": session.outcome},
    )
    session.delete()


class SessionKeeper:
    """The store's hook for sessions when a model or a data set is deleted (`apps.models.dependents`)."""

    def count(self, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> int:
        return OptimizationSession.objects.resting_on(versions, datasets).count()

    def remove(self, user: User, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> None:
        """Raises `PermissionDenied`, and `SessionMoveRefused` if one of them is running."""
        for session in OptimizationSession.objects.resting_on(versions, datasets).order_by("pk"):
            session_delete(session, user)
