"""The queue to the workers: Dramatiq over Redis. Senders fail fast, workers wait.

Dramatiq's own consumer asks Redis again and again while it is idle. Here it is woken: a sender also puts a token into a
short list beside the queue, for which an idle consumer waits. So a message is taken at once, and an idle worker hardly
disturbs what is measured on its machine. A token may be lost or be one too many: the messages are what counts.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import dq_name
from dramatiq.errors import ConnectionClosed, DecodeError
from redis import ConnectionError as NoConnection
from redis import Redis

from apps.outages import REDIS_AWAY
from lathe.env import QUEUES
from lathe.patience import again_and_again, once_more

SEND_S = 1.0
WORK_S = 5.0
WAKE_S = 0.5
"""How long an idle consumer waits for a token before it looks at its queue anyway. Less than `SEND_S`, at which a
connection gives up."""
MOST_TOKENS = 16
"""More workers than that are not woken by one burst; the others look by themselves."""
TOKENS_LIVE_S = 60

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backlog:
    """What waits in one queue."""

    messages: int
    delayed: int
    """Messages that are to be taken later."""
    oldest_age_s: float
    """Since the first in line was sent; 0 if none waits."""


class WokenConsumer(_RedisConsumer):
    """A consumer that sleeps until there is something to take, and puts aside what cannot be read. Dramatiq's own would
    stop for seconds at such a thing, and read it again after a restart."""

    def __init__(self, broker: Broker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout=0)  # It never sleeps by itself.
        self._poll_s = timeout / 1000
        self._is_delayed = queue_name == dq_name(queue_name)

    def __next__(self) -> Any:
        message = self._taken()
        if message is None:
            self._wait()
        return message

    def _taken(self) -> Any:
        while True:
            try:
                return super().__next__()
            except DecodeError as error:
                logger.error("The queue %s held something that is not a message: %.200r.", self.queue_name, error.data)
                self.broker.put_aside(self.queue_name, error.data)

    def _wait(self) -> None:
        """Until a message may be there. Delayed ones come by the clock, and with its hands full the consumer looks
        after what its workers have finished.
        """
        if self._is_delayed or self.outstanding_message_count >= self.prefetch:
            time.sleep(self._poll_s)
            return
        try:
            self.broker.wait_for_message(self.queue_name)
        except NoConnection as error:
            raise ConnectionClosed(error) from None


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
    def consumer_class(self) -> type[WokenConsumer]:
        return WokenConsumer

    def enqueue(self, message: dramatiq.Message, *, delay: int | None = None) -> dramatiq.Message:
        sent = super().enqueue(message, delay=delay)
        if delay is None:
            # The message is in its queue: without a token it is only taken a moment later.
            with contextlib.suppress(*REDIS_AWAY):
                self._wake(sent.queue_name)
        return sent

    def _wake(self, queue: str) -> None:
        tokens = self._tokens(queue)
        with self.client.pipeline(transaction=False) as asked:
            asked.lpush(tokens, 1)
            asked.ltrim(tokens, 0, MOST_TOKENS - 1)
            asked.expire(tokens, TOKENS_LIVE_S)
            asked.execute()

    def wait_for_message(self, queue: str) -> bool:
        """Waits until somebody has sent to `queue`, at most for `WAKE_S`. Returns whether somebody did."""
        return self.client.blpop([self._tokens(queue)], timeout=WAKE_S) is not None

    def _tokens(self, queue: str) -> str:
        return f"{self.namespace}:{queue}.tokens"

    def put_aside(self, queue: str, data: bytes) -> None:
        """Moves fetched data that is not a message to the queue's dead letters, where Dramatiq keeps it for days."""
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

    def is_reachable(self) -> bool:
        """Whether Redis is available for sending."""
        try:
            return bool(self.client.ping())
        except REDIS_AWAY:
            return False


def backlogs() -> dict[str, Backlog]:
    """What waits, by queue. Raises one of `REDIS_AWAY`."""
    broker = dramatiq.get_broker()
    return {queue: broker.backlog(queue) for queue in QUEUES} if isinstance(broker, Broker) else {}
