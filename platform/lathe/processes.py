"""Child processes that end together: started in their own process groups, watched, and never left behind.

`Supervisor` is for the commands that run several servers in the foreground (`run`, `worker`, `demo`). Whatever ends it,
a signal, an error or the death of one child, it stops all other children. If it is killed outright, the kernel signals
its children (on Linux), and they end by themselves.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from lathe.env import PROJECT_ROOT

GRACE_S = 10.0
PR_SET_PDEATHSIG = 1


class StopRequested(BaseException):
    """The operator requested a stop, by Ctrl-C or a signal. Not an `Exception`, so that no handler swallows it."""


class ChildDied(Exception):
    """A process that should run indefinitely has ended."""

    def __init__(self, name: str, code: int | None) -> None:
        self.name = name
        self.code = code
        how = f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        super().__init__(f"{name} has ended ({how}), so all processes are being stopped.")


@dataclass
class Child:
    """A command that runs until it is told to stop."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    """Where its output goes; `None` is this process's own."""
    process: psutil.Popen | None = None

    def start(self) -> None:
        """Starts the command as the leader of a new process group, with the project on its path."""
        environment = {**os.environ, "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1", **self.environment}
        with contextlib.ExitStack() as stack:
            output = None
            if self.log:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(self.log.open("ab"))
            self.process = psutil.Popen(
                list(self.command),
                cwd=PROJECT_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                preexec_fn=_end_with_parent(),
            )

    def signal(self, number: int) -> None:
        """Sends the signal to the process and its process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Supervisor:
    """Runs children until one ends or a signal arrives. Leaving the `with` block stops them in reverse order."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, _request_stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not interrupt the cleanup and leave children behind.
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self.children):
            stop(child)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def start(self, child: Child) -> Child:
        child.start()
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raises `ChildDied` if one of the children has ended."""
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                raise ChildDied(child.name, child.process.returncode)

    def wait(self, timeout_s: float | None = None) -> None:
        """Sleeps until a child ends (`ChildDied`), a signal arrives (`StopRequested`) or `timeout_s` has passed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while deadline is None or time.monotonic() < deadline:
            self.check()
            time.sleep(0.2)
        self.check()

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Polls `ready` a few times a second. Raises `TimeoutError` after `timeout_s`, `ChildDied` if a child has
        ended.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not start within {timeout_s:.0f} s.")
            time.sleep(0.05)


def stop(child: Child, grace_s: float = GRACE_S, leftovers_s: float = 1.0) -> None:
    """Ends the child and its descendants.

    The child has `grace_s` to end by itself and to stop its own children. Whatever still runs `leftovers_s` later is
    killed, whatever its process group.
    """
    if child.process is None:
        return
    members = list(_family(child.process))
    # Not its group: a server signals its own processes, and treats a second signal as a forced stop.
    with contextlib.suppress(psutil.NoSuchProcess):
        child.process.terminate()
    psutil.wait_procs(members[:1], timeout=grace_s)
    _, alive = psutil.wait_procs(members, timeout=leftovers_s)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    child.signal(signal.SIGKILL)  # processes that joined the group in the meantime
    psutil.wait_procs(alive, timeout=grace_s)


def python_path() -> str:
    """The project's two source roots as a PYTHONPATH for child processes."""
    return os.pathsep.join((str(PROJECT_ROOT / "platform"), str(PROJECT_ROOT)))


def python(*arguments: str) -> tuple[str, ...]:
    """A command line for this same interpreter."""
    return (sys.executable, *arguments)


def _family(process: psutil.Popen) -> Iterator[psutil.Process]:
    """The process and its descendants."""
    yield process
    with contextlib.suppress(psutil.NoSuchProcess):
        yield from process.children(recursive=True)


def _request_stop(number: int, frame: object) -> None:
    raise StopRequested(signal.Signals(number).name)


def _end_with_parent() -> Callable[[], None] | None:
    """Runs in a child between fork and exec: requests SIGTERM from the kernel when this process dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died before the request
            os._exit(1)

    return ask
