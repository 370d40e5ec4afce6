"""The queue to the workers: Dramatiq's over Redis. Whoever only sends is in a hurry, whoever works can wait."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from redis import Redis

from apps.outages import REDIS_AWAY
from lathe.patience import again_and_again, once_more

SEND_S = 1.0
WORK_S = 5.0


class Broker(RedisBroker):
    """Sending fails within moments where Redis is away; a worker keeps what it holds, and tries again."""

    def __init__(self, *, url: str, **options: Any) -> None:
        client = Redis.from_url(url, socket_connect_timeout=SEND_S, socket_timeout=SEND_S, retry=once_more())
        super().__init__(client=client, **options)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        patient = {"socket_connect_timeout": WORK_S, "socket_timeout": WORK_S, "retry": again_and_again()}
        self.client.connection_pool.connection_kwargs.update(patient)
        return super().consume(queue_name, prefetch, timeout)

    def answers(self) -> bool:
        """Whether a message could be sent now."""
        try:
            return bool(self.client.ping())
        except REDIS_AWAY:
            return False
