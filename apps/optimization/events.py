"""Pokes the open pages of sessions (`apps.pokes`), and those of people whose access changed."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.accounts.models import Membership, User
from apps.live import pokes
from apps.optimization.models import OptimizationSession, SessionStep

NEXT_IN_LINE = 20
"""How many waiting sessions are poked. Pages of sessions further back see the change when they poll."""


def poke(session: OptimizationSession) -> None:
    """Pokes the session's pages once the transaction is committed."""
    pokes.poke(session.channel_group)


def poke_waiting() -> None:
    """Pokes the pages of the sessions next in line, which have moved up because a step began."""
    next_steps = SessionStep.objects.waiting().only("pk", "session__id").order_by("enqueued_at")[:NEXT_IN_LINE]
    pokes.poke(*dict.fromkeys(step.session.channel_group for step in next_steps))


# --- who may still look ----------------------------------------------------------------------------------------------


def tell_of_person(instance: User | Membership, **signal: Any) -> None:
    """A user or membership was changed or deleted, so the user's pages check their access again."""
    if signal.get("update_fields") != frozenset({"last_login"}):
        user_id = instance.user_id if isinstance(instance, Membership) else instance.pk
        pokes.poke(pokes.user_group(user_id))


def tell_of_logout(instance: Session, **signal: Any) -> None:
    """A login has ended, so its pages are closed. A long-expired login has none."""
    if instance.expire_date > timezone.now():
        pokes.poke(pokes.login_group(instance.session_key))
