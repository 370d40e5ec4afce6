"""Turning the pipeline by hand: takes messages from the stub broker and does what they say, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import dramatiq
from dramatiq import Message
from dramatiq.brokers.stub import StubBroker
from dramatiq.common import dq_name

QUEUES = ("default", "checks", "cpu", "gpu")


def messages(*queues: str) -> Iterator[Message]:
    """Takes what waits, delayed messages included: a test does not wait for their time."""
    broker = dramatiq.get_broker()
    assert isinstance(broker, StubBroker)
    for queue in queues or QUEUES:
        for name in (queue, dq_name(queue)):
            waiting = broker.queues.get(name)
            while waiting is not None and not waiting.empty():
                data = waiting.get_nowait()
                waiting.task_done()
                yield Message.decode(data)


def turn(*queues: str) -> int:
    """Does everything that waits now; what follows from it waits for the next turn. How many messages there were."""
    batch = list(messages(*queues))
    for message in batch:
        deliver(message)
    return len(batch)


def deliver(message: Message) -> None:
    """Does what one message says."""
    dramatiq.get_broker().get_actor(message.actor_name).fn(*message.args)


def turn_until_quiet(limit: int = 60) -> None:
    """Turns until no message is left."""
    for _ in range(limit):
        if not turn():
            return
    raise AssertionError("the pipeline does not come to rest")
