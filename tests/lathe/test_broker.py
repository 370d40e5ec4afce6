"""An idle worker is woken by what is sent, and a token that is lost or one too many loses and repeats no message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis

from lathe import broker as of_lathe
from lathe.broker import MOST_TOKENS, Broker, WokenConsumer
from lathe.processes import Supervisor
from lathe.redis import start_embedded

pytestmark = pytest.mark.portable


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("redis")
    with Supervisor() as supervisor:
        start_embedded(supervisor, folder / "redis.sock", folder, Path(folder) / "log")
        yield f"unix://{folder}/redis.sock"


@pytest.fixture
def broker(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(of_lathe, "WAKE_S", 0.01)
    broker = Broker(url=url, middleware=[], namespace="lathe.test")
    broker.client.flushall()
    yield broker
    broker.close()


def actor(broker: Broker) -> tuple[Any, list[int]]:
    done: list[int] = []
    return dramatiq.actor(broker=broker, queue_name="cpu", actor_name="work")(done.append), done


def test_what_is_sent_wakes_whoever_waits(broker: Broker) -> None:
    assert not broker.wait_for_message("cpu")
    actor(broker)[0].send(7)
    assert not broker.wait_for_message("other")
    assert broker.wait_for_message("cpu")
    assert not broker.wait_for_message("cpu")


def test_a_delayed_message_wakes_nobody_until_it_is_due(broker: Broker) -> None:
    actor(broker)[0].send_with_options(args=(7,), delay=60_000)
    assert not broker.wait_for_message("cpu")


def test_tokens_that_nobody_takes_do_not_pile_up(broker: Broker) -> None:
    sender, _ = actor(broker)
    for number in range(MOST_TOKENS + 10):
        sender.send(number)
    assert sum(broker.wait_for_message("cpu") for _ in range(MOST_TOKENS + 10)) == MOST_TOKENS
    assert broker.backlog("cpu").messages == MOST_TOKENS + 10


def test_every_message_is_taken_once_whatever_became_of_its_token(broker: Broker) -> None:
    sender, done = actor(broker)
    for number in range(5):
        sender.send(number)
    broker.wait_for_message("cpu")
    broker._wake("cpu")
    worker = dramatiq.Worker(broker, queues={"cpu"}, worker_threads=1, worker_timeout=20)
    worker.start()
    try:
        sender.send(5)
        broker.join("cpu", timeout=20_000)
        worker.join()
    finally:
        worker.stop()
    assert sorted(done) == [0, 1, 2, 3, 4, 5]


def test_a_message_is_sent_although_nobody_can_be_woken(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(queue: str) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(broker, "_wake", away)
    actor(broker)[0].send(7)
    assert broker.backlog("cpu").messages == 1


def test_a_consumer_with_its_hands_full_waits_for_no_message(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, _ = actor(broker)
    sender.send(1)
    asked: list[str] = []
    monkeypatch.setattr(broker, "wait_for_message", asked.append)
    consumer = broker.consume("cpu", prefetch=1, timeout=1)
    assert isinstance(consumer, WokenConsumer)
    assert next(consumer) is not None
    assert next(consumer) is None
    assert not asked
    empty = broker.consume("other", prefetch=1, timeout=1)
    assert next(empty) is None
    assert asked == ["other"]
