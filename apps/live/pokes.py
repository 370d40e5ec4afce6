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
from django.db import transaction

from apps.outages import REDIS_AWAY, Outage

logger = logging.getLogger(__name__)

CHANGED = "session.changed"
"""The type of every poke, whatever changed. The name dates from when only sessions had live pages."""

ANSWER_S = 1.0
"""The timeout of the channel layer, because the sender has other work to do."""

outage = Outage()
"""The channel layer's state, as seen by this process."""


def user_group(user_id: int) -> str:
    """The channel group of a user's open pages."""
    return f"user.{user_id}"


def login_group(session_key: str) -> str:
    """The channel group of the pages that one login opened. The session key is secret, so the name does
    not reveal it.
    """
    return f"login.{sha256(session_key.encode()).hexdigest()[:32]}"


def poke(*groups: str) -> None:
    """Pokes the pages of `groups` once the transaction is committed."""
    if groups:
        transaction.on_commit(partial(_send, groups))


def _send(groups: tuple[str, ...]) -> None:
    if get_channel_layer() is not None:
        async_to_sync(_send_to)(groups)


async def _send_to(groups: tuple[str, ...]) -> None:
    """One after the other over one connection: a call of its own for each would connect anew."""
    layer = get_channel_layer()
    for group in groups:
        if not await reached(layer.group_send(group, {"type": CHANGED}), f"poking {group}"):
            return


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
