"""Children that need not load their libraries: forks of a process per framework that has (`apps.agents.fork_server`).

For jobs that time nothing. What times a model wants a fresh process: forks of one process all lie in memory alike.
Linux only, and for jobs of one thread: libraries start their pools when they are loaded with more, and a fork would
lose those.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from apps.agents.formats import FORMATS, Format, Framework
from apps.agents.spawning import Ends

logger = logging.getLogger(__name__)

ANSWER_BYTES = 4096
POLL_S = 0.25


class Warm(StrEnum):
    """What a process for children has loaded. PyTorch and TensorFlow never share one."""

    LIGHT = "light"
    TORCH = "torch"
    TENSORFLOW = "tensorflow"


_LIGHT = (
    *("numpy", "onnx", "scipy.stats", "sympy"),
    *(f"apps.agents.handlers.{name}" for name in ("datasets", "inspection", "optimize", "package", "plan")),
)
MODULES: Mapping[Warm, tuple[str, ...]] = {
    Warm.LIGHT: _LIGHT,
    Warm.TORCH: (*_LIGHT, "apps.agents.backends.torch.engine", "apps.agents.backends.torch.transformers_folder"),
    Warm.TENSORFLOW: (*_LIGHT, "apps.agents.backends.tensorflow.engine", "apps.agents.backends.tensorflow.inspection"),
}
"""ONNX Runtime is not among them: it starts a thread when it is imported, which takes a twentieth of a second only."""


def warm_for(format: str) -> Warm:  # noqa: A002 - the contract's word
    """What a job on a model in `format` wants to find loaded."""
    of_framework = {Framework.TORCH: Warm.TORCH, Framework.TENSORFLOW: Warm.TENSORFLOW}
    return of_framework.get(FORMATS[Format(format)].framework, Warm.LIGHT)


class ServerGone(ConnectionError):
    """The server has ended: idle, killed, or unable to fork."""


class ForkServer:
    """The worker's side of one server. Safe to use from several threads."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "apps.agents.fork_server", str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environment),
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._lock = threading.Lock()
        self._ready = False

    def ready(self, timeout_s: float) -> bool:
        """Whether its libraries are loaded, waiting for them so long at most. Raises `ServerGone`."""
        with self._lock:
            if not self._ready and select.select([self._connection], [], [], timeout_s)[0]:
                self._ready = bool(self._received())
            return self._ready

    def fork(self, folder: Path, ends: Ends) -> Forked:
        """A child that works in `folder`. Raises `ServerGone`, and `OSError` where no process can be had."""
        return Forked(self, self._ask({"fork": str(folder)}, ends)["pid"])

    def reap(self, pid: int) -> int:
        """The exit code of a child that has ended or been killed. Raises `ServerGone`."""
        return os.waitstatus_to_exitcode(self._ask({"reap": pid})["status"])

    def _ask(self, request: Mapping[str, Any], ends: Sequence[int] = ()) -> dict[str, Any]:
        with self._lock:
            try:
                socket.send_fds(self._connection, [json.dumps(request).encode()], ends)
            except ConnectionError as error:
                raise ServerGone(str(error)) from error
            answer = self._received()
        found: dict[str, Any] = json.loads(answer)
        if "errno" in found:
            raise OSError(found["errno"], found["strerror"])
        return found

    def _received(self) -> bytes:
        try:
            answer = self._connection.recv(ANSWER_BYTES)
        except ConnectionError as error:
            raise ServerGone(str(error)) from error
        if not answer:
            raise ServerGone("the server has ended")
        return answer


class Forked:
    """A child of a `ForkServer`, seen from the worker."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self._server = server
        self._pidfd = os.pidfd_open(pid)

    def exited(self) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def reap(self) -> int:
        os.close(self._pidfd)
        try:
            return self._server.reap(self.pid)
        except ServerGone:  # The kernel has killed its children then.
            return -signal.SIGKILL


_Key = tuple[object, ...]
_servers: dict[_Key, ForkServer | None] = {}
"""By what makes children differ, and this process's own number; `None` is one that cannot serve here."""
_lock = threading.Lock()


def possible() -> bool:
    """Whether this system can hand pipes to another process and watch a process that is not a child of this one."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def fork(
    warm: Warm, environment: Mapping[str, str], folder: Path, ends: Ends, waiting: Callable[[], None]
) -> Forked | None:
    """A child as `Fresh` starts one with the same `environment` in `folder`; `None` where there is no server to ask.

    `waiting` is called every `POLL_S` while libraries are loaded, which takes seconds; it may raise.
    """
    inherited = {name: value for name, value in environment.items() if name != "TMPDIR"}
    key = (os.getpid(), warm, *sorted(inherited.items()))
    while (server := _server(key, warm, inherited)) is not None:
        try:
            while not server.ready(POLL_S):
                waiting()
            return server.fork(folder, ends)
        except ServerGone:
            _forget(key, server)
    return None


def _server(key: _Key, warm: Warm, environment: Mapping[str, str]) -> ForkServer | None:
    with _lock:
        if key not in _servers:
            _servers[key] = ForkServer(MODULES[warm], environment)
        return _servers[key]


def _forget(key: _Key, server: ForkServer) -> None:
    """Have another one started for the next child, unless this one could not serve."""
    code = server.process.wait()
    with _lock:
        if _servers.get(key) is not server:
            return
        del _servers[key]
        if code > 0:
            _servers[key] = None
            logger.warning("The process that forks children ended with %d: each child starts afresh from now on.", code)
