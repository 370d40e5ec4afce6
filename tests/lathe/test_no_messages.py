"""What is not a message holds nothing up, and is kept for whoever wants to know what it was."""

from __future__ import annotations

import time
from pathlib import Path

import dramatiq
import pytest

from lathe.broker import Broker
from lathe.processes import Supervisor
from lathe.redis import start_embedded
from tests.waiting import HANGS_S

pytestmark = pytest.mark.portable


def test_what_is_no_message_is_put_aside_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Supervisor() as supervisor:
        start_embedded(supervisor, tmp_path / "redis.sock", tmp_path / "data", tmp_path / "redis.log")
        broker = Broker(url=f"unix://{tmp_path}/redis.sock", middleware=[])
        broker.declare_queue("cpu")
        for name, data in (("one", b"\x80 no message"), ("two", b"{}")):
            broker.client.hset("dramatiq:cpu.msgs", name, data)
            broker.client.rpush("dramatiq:cpu", name)
        broker.enqueue(dramatiq.Message(queue_name="cpu", actor_name="run_step", args=(7,), kwargs={}, options={}))
        received = first(broker)
        assert received.args == (7,)
        assert broker.client.zcard("dramatiq:cpu.XQ") == 2
        assert set(broker.client.hgetall("dramatiq:cpu.XQ.msgs").values()) == {b"\x80 no message", b"{}"}
        assert sum("held something that is not a message" in line for line in caplog.messages) == 2
        broker.close()


def first(broker: Broker) -> dramatiq.MessageProxy:
    consumer = broker.consume("cpu", prefetch=1, timeout=100)
    deadline = time.monotonic() + HANGS_S
    while time.monotonic() < deadline:
        if (message := next(consumer)) is not None:
            return message
    raise AssertionError("the message did not come")
