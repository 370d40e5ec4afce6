"""Pokes open pages: a short message on a channel group that says only that something changed.

Listeners read the rows again, so a lost poke only delays an update. For the same reason, a broken channel layer is
logged and not raised: the work continues.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from hashlib import sha256
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Membership, User
from apps.optimization.models import OptimizationSession, SessionStep
from apps.outages import REDIS_AWAY, Outage

logger = logging.getLogger(__name__)

ANSWER_S = 1.0
"""The timeout of the channel layer, because the sender has other work to do."""

NEXT_IN_LINE = 20
"""How many waiting sessions are poked. Pages of sessions further back see the change when they poll."""

outage = Outage()
"""The channel layer's state, as seen by this process."""


def poke(session: OptimizationSession) -> None:
    """Pokes the session's pages once the transaction is committed."""
    transaction.on_commit(partial(_send, session.channel_group, {"type": "session.changed"}))


def poke_waiting() -> None:
    """Pokes the pages of the sessions next in line, which have moved up because a step began or ended."""
    for step in SessionStep.objects.waiting().order_by("enqueued_at")[:NEXT_IN_LINE]:
        poke(step.session)


# --- who may still look ----------------------------------------------------------------------------------------------


def user_group(user_id: int) -> str:
    """The channel group of a user's open pages."""
    return f"user.{user_id}"


def login_group(session_key: str) -> str:
    """The channel group of the pages that one login opened. The session key is secret, so the name does
    not reveal it.
    """
    return f"login.{sha256(session_key.encode()).hexdigest()[:32]}"


def tell_of_person(instance: User | Membership, **signal: Any) -> None:
    """A user or membership was changed or deleted, so the user's pages check their access again."""
    if signal.get("update_fields") != frozenset({"last_login"}):
        user_id = instance.user_id if isinstance(instance, Membership) else instance.pk
        transaction.on_commit(partial(_send, user_group(user_id), {"type": "session.changed"}))


def tell_of_logout(instance: Session, **signal: Any) -> None:
    """A login has ended, so its pages are closed. A long-expired login has none."""
    if instance.expire_date > timezone.now():
        transaction.on_commit(partial(_send, login_group(instance.session_key), {"type": "session.changed"}))


# --- the channel layer -----------------------------------------------------------------------------------------------


def _send(group: str, message: dict[str, Any]) -> None:
    if get_channel_layer() is not None:
        async_to_sync(_told)(group, message)


async def _told(group: str, message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    await reached(layer.group_send(group, message), f"poking {group}")


async def reached(asking: Any, what: str) -> bool:
    """Awaits a channel layer operation with a timeout. Returns whether it succeeded."""
    if not outage.may_ask():
        asking.close()
        return False
    try:
        await asyncio.wait_for(asking, ANSWER_S)
    except REDIS_AWAY:
        if outage.began():
            logger.warning("The channel layer does not answer (%s). Pages poll for changes instead.", what)
        return False
    outage.ended()
    return True
