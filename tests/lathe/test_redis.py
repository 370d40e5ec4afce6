"""The bundled Redis answers on a private socket, keeps messages, and ends with its supervisor."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import redis
from channels_redis.core import RedisChannelLayer
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from lathe.processes import Supervisor
from lathe.redis import UnsafeFolder, own_folder, start_embedded
from lathe.settings import CHANNEL_LAYERS

pytestmark = pytest.mark.portable


def start(supervisor: Supervisor, folder: Path) -> redis.Redis:
    start_embedded(supervisor, folder / "redis.sock", folder / "data", folder / "redis.log")
    return redis.Redis(unix_socket_path=str(folder / "redis.sock"))


def test_only_this_user_can_reach_it(tmp_path):
    with Supervisor() as supervisor:
        client = start(supervisor, tmp_path / "redis")
        assert client.ping()
        assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
        assert client.config_get("port")["port"] == "0"
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_a_queued_message_is_still_there_after_a_restart(tmp_path):
    url = f"unix://{tmp_path}/redis.sock"
    message = Message(queue_name="cpu", actor_name="run_step", args=(7,), kwargs={}, options={})
    with Supervisor() as supervisor:
        start(supervisor, tmp_path)
        broker = RedisBroker(url=url, middleware=[])
        broker.declare_queue("cpu")
        broker.enqueue(message)
        broker.close()
    with Supervisor() as supervisor:
        start(supervisor, tmp_path)
        broker = RedisBroker(url=url, middleware=[])
        broker.declare_queue("cpu")
        received = next(broker.consume("cpu", timeout=5000))
        assert received is not None
        assert received.args == (7,)
        broker.close()


def test_a_socket_left_by_a_killed_server_is_no_obstacle(tmp_path):
    (tmp_path / "redis.sock").touch()
    with Supervisor() as supervisor:
        assert start(supervisor, tmp_path).ping()


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(UnsafeFolder, match="belongs to another user"):
        own_folder(tmp_path)


def test_a_link_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFolder):
        own_folder(tmp_path / "link")


def test_an_open_page_that_sees_no_change_keeps_its_socket():
    layer = RedisChannelLayer(**CHANNEL_LAYERS["default"]["CONFIG"])
    patience_s = layer.create_pool(0).connection_kwargs["socket_timeout"]
    assert patience_s > layer.brpop_timeout, "the client would give up a read that is only waiting"
