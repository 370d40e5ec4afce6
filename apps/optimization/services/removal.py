"""Taking sessions away for good: the rows go at once, their files when nothing else refers to them, the books stay."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.models.models import DataSet, ModelVersion
from apps.optimization.errors import SessionMoveRefused
from apps.optimization.models import OptimizationSession


@transaction.atomic
def session_delete(session: OptimizationSession, user: User, *, as_operator: bool = False) -> None:
    """Removes a session with its candidates, reports, steps and log. What it promoted and its audit events stay.

    Raises `PermissionDenied` below engineer, `SessionMoveRefused` while it runs.
    """
    if not (as_operator and user.is_staff):
        require_role(user, session.team, Role.ENGINEER)
    remove(OptimizationSession.objects.locked(session.pk), user)


def remove(session: OptimizationSession, user: User | None, reason: str = "") -> None:
    """Removes a session whose row is locked; `user` is `None` where a rule of the team does it."""
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
    """Sessions, as the store below asks for them when a model or a data set goes (`apps.models.dependents`)."""

    def count(self, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> int:
        return OptimizationSession.objects.resting_on(versions, datasets).count()

    def remove(self, user: User, *, versions: Iterable[ModelVersion] = (), datasets: Iterable[DataSet] = ()) -> None:
        """Raises `PermissionDenied`, `SessionMoveRefused` where one of them runs."""
        for session in OptimizationSession.objects.resting_on(versions, datasets).order_by("pk"):
            session_delete(session, user)
