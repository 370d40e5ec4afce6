"""Poking open pages: a short message on a channel group that says "something changed", never what.

Whoever listens reads the rows afresh, so a lost poke costs a moment and nothing else. That is also why a broken
channel layer is logged and not raised: the work goes on.
"""

from __future__ import annotations

import logging
from functools import partial

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

from apps.optimization.models import OptimizationSession

logger = logging.getLogger(__name__)


def poke(session: OptimizationSession) -> None:
    """Tells the session's pages, and its team's lists, once the transaction is committed."""
    for group in (session.channel_group, team_group(session.team_id)):
        transaction.on_commit(partial(_send, group, str(session.pk)))


def team_group(team_id: int) -> str:
    """The channel group of everything that shows a team's sessions."""
    return f"team.{team_id}"


def _send(group: str, session_id: str) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(group, {"type": "session.changed", "session": session_id})
    except (RedisError, OSError):
        logger.warning("The pages of session %s could not be told of a change.", session_id, exc_info=True)
