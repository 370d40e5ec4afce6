"""The three clients of Redis (broker, channel layer, cache) work over the bundled server and over a real one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import dramatiq
import pytest
from channels_redis.core import RedisChannelLayer
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.utils.module_loading import import_string
from dramatiq.brokers.redis import RedisBroker

from lathe.processes import Supervisor
from lathe.redis import start_embedded


@pytest.fixture(params=["bundled", pytest.param("given", marks=pytest.mark.services)])
def redis_url(request, tmp_path) -> Iterator[str]:
    if request.param == "given":
        if not os.environ.get("LATHE_TEST_REDIS_URL"):
            pytest.skip("LATHE_TEST_REDIS_URL is not set")
        yield os.environ["LATHE_TEST_REDIS_URL"]
        return
    with Supervisor() as supervisor:
        start_embedded(supervisor, tmp_path / "redis.sock", tmp_path, tmp_path / "log")
        yield f"unix://{tmp_path}/redis.sock"


def test_a_message_reaches_a_worker_once(redis_url):
    """With the middleware and options of the settings, as `django_dramatiq` builds the broker."""
    middleware = [import_string(path)() for path in settings.DRAMATIQ_MIDDLEWARE]
    broker = RedisBroker(url=redis_url, middleware=middleware, namespace="lathe.test", heartbeat_timeout=600_000)
    received: list[int] = []
    actor = dramatiq.actor(broker=broker, queue_name="cpu", max_retries=0, time_limit=60_000)(received.append)
    worker = dramatiq.Worker(broker, queues={"cpu"}, worker_threads=1, worker_timeout=50)
    worker.start()
    try:
        actor.send(7)
        broker.join("cpu", timeout=20_000)
        worker.join()
    finally:
        worker.stop()
        broker.flush_all()
        broker.close()
    assert received == [7]


def test_a_poke_reaches_everybody_in_the_group(redis_url):
    async def poke() -> list[dict[str, str]]:
        layer = RedisChannelLayer(hosts=[redis_url], prefix="lathe.test")
        channels = [await layer.new_channel() for _ in range(2)]
        for channel in channels:
            await layer.group_add("session.1", channel)
        await layer.group_send("session.1", {"type": "session.changed"})
        messages = [await asyncio.wait_for(layer.receive(channel), 10) for channel in channels]
        await layer.close_pools()
        return messages

    assert asyncio.run(poke()) == [{"type": "session.changed"}] * 2


def test_the_cache_counts_for_all_processes(redis_url, settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}}
    first = caches.create_connection("default")
    second = caches.create_connection("default")
    first.set("lathe.test", 1, timeout=60)
    second.incr("lathe.test")
    assert first.get("lathe.test") == 2
    first.delete("lathe.test")


@pytest.mark.django_db
def test_the_database_is_the_one_that_was_asked_for():
    wanted = os.environ.get("LATHE_TEST_DATABASE_URL", "")
    assert connection.vendor == ("postgresql" if wanted.startswith("postgres") else "sqlite")


@pytest.mark.django_db
@pytest.mark.skipif(bool(os.environ.get("LATHE_TEST_DATABASE_URL")), reason="asks SQLite")
def test_sqlite_lets_readers_and_a_writer_work_at_once():
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
        cursor.execute("PRAGMA foreign_keys")
        assert cursor.fetchone() == (1,)
