"""The queue to the workers: Dramatiq over Redis. Senders fail fast, workers wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from redis import Redis

from apps.outages import REDIS_AWAY
from lathe.env import QUEUES
from lathe.patience import again_and_again, once_more

SEND_S = 1.0
WORK_S = 5.0


@dataclass(frozen=True)
class Backlog:
    """What waits in one queue."""

    messages: int
    delayed: int
    """Messages that are to be taken later."""
    oldest_age_s: float
    """Since the first in line was sent; 0 if none waits."""


class Broker(RedisBroker):
    """If Redis is unavailable, sending fails within moments, and workers keep their messages and retry."""

    def __init__(self, *, url: str, **options: Any) -> None:
        client = Redis.from_url(url, socket_connect_timeout=SEND_S, socket_timeout=SEND_S, retry=once_more())
        super().__init__(client=client, **options)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        patient = {"socket_connect_timeout": WORK_S, "socket_timeout": WORK_S, "retry": again_and_again()}
        self.client.connection_pool.connection_kwargs.update(patient)
        return super().consume(queue_name, prefetch, timeout)

    def backlog(self, queue: str) -> Backlog:
        """What no worker has taken yet. Raises one of `REDIS_AWAY`."""
        line = f"{self.namespace}:{queue}"
        with self.client.pipeline(transaction=False) as asked:
            asked.llen(line)
            asked.hlen(f"{line}.DQ.msgs")
            asked.lindex(line, 0)
            messages, delayed, first = asked.execute()
        data: Any = self.client.hget(f"{line}.msgs", first) if first else None
        sent_ms = dramatiq.Message.decode(data).message_timestamp if data else None
        age_s = max(0.0, time.time() - sent_ms / 1000) if sent_ms else 0.0
        return Backlog(messages=messages, delayed=delayed, oldest_age_s=age_s)

    def answers(self) -> bool:
        """Whether Redis is available for sending."""
        try:
            return bool(self.client.ping())
        except REDIS_AWAY:
            return False


def backlogs() -> dict[str, Backlog]:
    """What waits, by queue. Raises one of `REDIS_AWAY`."""
    broker = dramatiq.get_broker()
    return {queue: broker.backlog(queue) for queue in QUEUES} if isinstance(broker, Broker) else {}
