"""The queue to the workers: Dramatiq over Redis. Senders fail fast, workers wait."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import DecodeError
from redis import Redis

from apps.outages import REDIS_AWAY
from lathe.patience import again_and_again, once_more

SEND_S = 1.0
WORK_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backlog:
    """What waits in one queue."""

    messages: int
    delayed: int
    """Messages that are to be taken later."""
    oldest_age_s: float
    """Since the first in line was sent; 0 if none waits."""


class Consumer(_RedisConsumer):
    """Puts aside what is no message. Dramatiq's own would stop for seconds, and read it again after a restart."""

    def __next__(self) -> Any:
        while True:
            try:
                return super().__next__()
            except DecodeError as error:
                logger.error("In the queue %s stood what is no message: %.200r.", self.queue_name, error.data)
                self.broker.put_aside(self.queue_name, error.data)


class Broker(RedisBroker):
    """If Redis is unavailable, sending fails within moments, and workers keep their messages and retry."""

    def __init__(self, *, url: str, **options: Any) -> None:
        client = Redis.from_url(url, socket_connect_timeout=SEND_S, socket_timeout=SEND_S, retry=once_more())
        super().__init__(client=client, **options)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        patient = {"socket_connect_timeout": WORK_S, "socket_timeout": WORK_S, "retry": again_and_again()}
        self.client.connection_pool.connection_kwargs.update(patient)
        return super().consume(queue_name, prefetch, timeout)

    @property
    def consumer_class(self) -> type[Consumer]:
        return Consumer

    def put_aside(self, queue: str, data: bytes) -> None:
        """Moves what was fetched, and is no message, to the queue's dead letters, where Dramatiq keeps it for days."""
        for name, found in self.client.hscan_iter(f"{self.namespace}:{queue}.msgs"):
            if found == data:
                self.do_nack(queue, name)

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
