"""What the processes share through Redis cannot run code in them, and does without Redis for a while."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from channels_redis.serializers import MsgPackSerializer
from django.conf import settings as project
from django.core.cache import caches
from django.test import Client
from dramatiq import JSONEncoder, get_encoder

from apps.accounts.models import User
from lathe import cache as shared
from lathe.channel_layer import PatientLayer
from lathe.processes import Supervisor
from lathe.redis import start_embedded
from lathe.settings import CACHES, CHANNEL_LAYERS


class Bomb:
    """A pickle that leaves a mark where it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def cache(tmp_path: Path, settings: Any) -> Iterator[Any]:
    """The cache as the settings make it, over a server of its own."""
    with Supervisor() as supervisor:
        start_embedded(supervisor, tmp_path / "redis.sock", tmp_path / "data", tmp_path / "log")
        settings.CACHES = {"default": {**CACHES["default"], "LOCATION": f"unix://{tmp_path}/redis.sock"}}
        shared.outage.ended()
        yield caches["default"]
    shared.outage.ended()


def raw(cache: Any) -> Any:
    return cache._cache.get_client(write=True)


@pytest.mark.parametrize("value", [0, -7, True, None, 1.5, "é", [1.0, 2.0], {"a": [None]}, 2**70])
def test_what_is_written_is_read(cache: Any, value: Any) -> None:
    cache.set("key", value, timeout=60)
    assert cache.get("key") == value
    assert cache.get_many(["key", "other"]) == {"key": value}


def test_it_counts_and_locks_as_the_limits_need_it(cache: Any) -> None:
    assert cache.add("lock", True, timeout=60)
    assert not cache.add("lock", True, timeout=60)
    cache.set("count", 1, timeout=60)
    assert cache.incr("count") == 2
    cache.delete("lock")
    assert "lock" not in cache


@pytest.mark.parametrize("garbage", ["pickle", b"\x80\x05", b"", b"{", b"[" * 200_000, b"\xff\xfe"])
def test_what_is_no_json_is_not_there_and_is_not_run(cache: Any, tmp_path: Path, garbage: Any) -> None:
    mark = tmp_path / "mark"
    data = pickle.dumps(Bomb(mark)) if garbage == "pickle" else garbage
    raw(cache).set(cache.make_key("key"), data)
    assert cache.get("key", "nothing") == "nothing"
    assert cache.get_many(["key"]) == {}
    assert not mark.exists()


@pytest.mark.django_db
def test_a_pickle_in_the_place_of_a_limits_counts_does_not_run(
    cache: Any, tmp_path: Path, client: Client, engineer: User
) -> None:
    client.force_login(engineer)
    assert client.get("/api/v1/me/").status_code == 200
    key = cache.make_key(f"throttle_user_{engineer.pk}")
    assert raw(cache).exists(key), "the limit counts under another key"
    raw(cache).set(key, pickle.dumps(Bomb(tmp_path / "mark")))
    assert client.get("/api/v1/me/").status_code == 200
    assert not (tmp_path / "mark").exists()


def test_all_else_that_is_read_back_is_data_too() -> None:
    assert project.SESSION_SERIALIZER.endswith("JSONSerializer")
    assert type(get_encoder()) is JSONEncoder
    layer = PatientLayer(**CHANNEL_LAYERS["default"]["CONFIG"])
    assert type(layer._serializer) is MsgPackSerializer


def test_limits_count_in_this_process_while_redis_is_away(settings: Any, tmp_path: Path) -> None:
    settings.CACHES = {"default": {**CACHES["default"], "LOCATION": f"unix://{tmp_path}/nobody.sock"}}
    shared.outage.ended()
    cache = caches["default"]
    cache.set("count", 1, timeout=60)
    assert cache.incr("count") == 2
    assert cache.add("lock", True)
    assert not cache.add("lock", True)
    cache.clear()
    assert cache.get("count") is None
