"""The worker's side of `preloaded`: the processes that fork children, and the children."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from apps.agents.sandbox.preloaded import LEAVE, LONGEST_PACKET, NUMBER, READY

MOST = 3
"""How many of these processes are kept. Each takes the memory of its framework: 50 to 300 MB."""
SUPPORTED = sys.platform == "linux" and hasattr(os, "pidfd_open")
_POLL_S = 0.25
_LOADING_S = 120.0
_FORKING_S = 20.0
_DIFFERS = ("TMPDIR", "HOME")
"""The only variables that are not the same in all children of a process."""
Key = tuple[tuple[str, ...], frozenset[tuple[str, str]]]

logger = logging.getLogger(__name__)


class Unusable(Exception):
    """The process cannot fork, or has ended."""


class Stopped(Exception):
    """`should_stop` returned true before the child was started."""


class Forked:
    """A child that was forked (`starting.Process`)."""

    def __init__(self, status: socket.socket, stdin: int, output: int) -> None:
        """Raises `Unusable` if the child was not forked."""
        self.pid, self.stdin, self.output = _number(status, _FORKING_S), stdin, output
        self._status = status
        self._code: int | None = None

    def exited(self) -> bool:
        if self._code is None and _readable(self._status, 0.0):
            self._code = self._exit_code()
        return self._code is not None

    def wait(self) -> int:
        code = self._exit_code() if self._code is None else self._code
        self._status.close()
        os.close(self.stdin)
        os.close(self.output)
        return code

    def _exit_code(self) -> int:
        try:
            return _number(self._status, None)
        except Unusable:  # The process that forked it has ended, and the kernel has killed the child.
            return -signal.SIGKILL


class Preloaded:
    """A process that has loaded `modules` in this environment, and forks."""

    def __init__(
        self, modules: tuple[str, ...], environment: Mapping[str, str], should_stop: Callable[[], bool]
    ) -> None:
        """Wait until it has. Raises `Unusable` with the reason, and `Stopped`."""
        self._control, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking = threading.Lock()
        with its_end:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "apps.agents.sandbox.preloaded", str(its_end.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: value for name, value in environment.items() if name not in _DIFFERS},
                cwd="/",
                pass_fds=[its_end.fileno()],
                start_new_session=True,
            )
        try:
            self._wait_until_loaded(should_stop)
        except BaseException:
            self.process.kill()
            self.process.wait()
            self._control.close()
            raise

    def fork(self, folder: Path, events: int) -> Forked:
        """A child in `folder`, which is also for its temporary files. Raises `Unusable`."""
        (stdin_end, stdin), (output, output_end), (status, status_end) = os.pipe(), os.pipe(), socket.socketpair()
        given = [stdin_end, output_end, events, status_end.fileno()]
        try:
            with self._asking:
                socket.send_fds(self._control, [os.fsencode(folder)], given)
            status_end.close()
            return Forked(status, stdin, output)
        except (OSError, Unusable) as error:
            for descriptor in (stdin, output, status.detach()):
                os.close(descriptor)
            raise Unusable(str(error)) from error
        finally:
            status_end.close()
            os.close(stdin_end)
            os.close(output_end)

    def leave(self) -> None:
        """Fork no more. The children that run go on, and the process ends after the last one."""
        try:
            self._control.send(LEAVE)
        except OSError:
            self._control.close()

    def _wait_until_loaded(self, should_stop: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _LOADING_S
        while not _readable(self._control, _POLL_S):
            if should_stop():
                raise Stopped
            if time.monotonic() > deadline:
                raise Unusable(f"loading took more than {_LOADING_S:.0f} s")
        answer = self._control.recv(LONGEST_PACKET)
        if answer != READY:
            raise Unusable(answer.decode() or "it ended while it was loading")


class Preloader:
    """The processes of this worker: one for each set of modules and environment, the last used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Key, Preloaded] = {}
        self._leaving: list[Preloaded] = []
        self._unusable: set[Key] = set()

    def start(
        self,
        modules: tuple[str, ...],
        environment: Mapping[str, str],
        folder: Path,
        events: int,
        should_stop: Callable[[], bool],
    ) -> Forked | None:
        """A child; `None` if this system or these modules cannot be forked. Raises `Stopped`."""
        key = (modules, frozenset(item for item in environment.items() if item[0] not in _DIFFERS))
        for _ in range(2):  # The first may have ended by itself since it was last used.
            with self._locked(should_stop):
                preloaded = self._of(key, environment, should_stop)
            if preloaded is None:
                return None
            try:
                return preloaded.fork(folder, events)
            except Unusable:
                with self._lock:
                    self._let_go(key, preloaded)
        return None

    @contextmanager
    def _locked(self, should_stop: Callable[[], bool]) -> Iterator[None]:
        """Alone, after waiting for another job's libraries to be loaded."""
        while not self._lock.acquire(timeout=_POLL_S):
            if should_stop():
                raise Stopped
        try:
            yield
        finally:
            self._lock.release()

    def _of(self, key: Key, environment: Mapping[str, str], should_stop: Callable[[], bool]) -> Preloaded | None:
        if key in self._unusable:
            return None
        found = self._kept.pop(key, None)
        try:
            self._kept[key] = found or Preloaded(key[0], environment, should_stop)
        except (OSError, Unusable) as error:
            logger.warning("Children start without preloaded libraries, which takes longer: %s", error)
            self._unusable.add(key)
            return None
        while len(self._kept) > MOST:
            oldest = next(iter(self._kept))
            self._let_go(oldest, self._kept[oldest])
        return self._kept[key]

    def _let_go(self, key: Key, preloaded: Preloaded) -> None:
        if self._kept.get(key) is preloaded:
            del self._kept[key]
            preloaded.leave()
            self._leaving.append(preloaded)
        self._leaving = [one for one in self._leaving if one.process.poll() is None]


_preloader = Preloader()


def start(
    modules: tuple[str, ...],
    environment: Mapping[str, str],
    folder: Path,
    events: int,
    should_stop: Callable[[], bool],
) -> Forked | None:
    """A child that was forked with `modules` loaded; `None` where that cannot be done.

    Loading takes seconds the first time. `should_stop` is called meanwhile; if it returns true, raises `Stopped`.
    """
    return _preloader.start(modules, environment, folder, events, should_stop) if SUPPORTED else None


def _forget() -> None:
    """In a fork of the worker itself: the processes belong to the other one."""
    global _preloader
    _preloader = Preloader()


if SUPPORTED:
    os.register_at_fork(after_in_child=_forget)


def _readable(end: socket.socket, timeout_s: float | None) -> bool:
    return bool(select.select([end], [], [], timeout_s)[0])


def _number(status: socket.socket, timeout_s: float | None) -> int:
    """The next number. Raises `Unusable` if the other end is closed, or nothing comes in time."""
    answer = status.recv(NUMBER.size) if _readable(status, timeout_s) else b""
    if len(answer) < NUMBER.size:
        raise Unusable("it has ended")
    return int(NUMBER.unpack(answer)[0])
