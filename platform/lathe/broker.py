"""The queue to the workers: Dramatiq's over Redis, with patience that has an end."""

from __future__ import annotations

from typing import Any

from dramatiq.brokers.redis import RedisBroker
from redis import Redis

from apps.outages import REDIS_AWAY
from lathe.patience import once_more

CONNECT_S = 1.0
READ_S = 5.0
"""A worker waits longer for an answer than a page does: its scripts may find a server that is busy writing."""
PING_S = 1.0


class Broker(RedisBroker):
    """Raises within seconds what redis-py by itself would try ten times."""

    def __init__(self, *, url: str, **options: Any) -> None:
        client = Redis.from_url(url, socket_connect_timeout=CONNECT_S, socket_timeout=READ_S, retry=once_more())
        super().__init__(client=client, **options)
        self._asking = Redis.from_url(url, socket_connect_timeout=PING_S, socket_timeout=PING_S, retry=once_more())

    def answers(self) -> bool:
        """Whether a message could be sent now."""
        try:
            return bool(self._asking.ping())
        except REDIS_AWAY:
            return False
