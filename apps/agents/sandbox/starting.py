"""Starting a child's process: forked off one that has loaded the libraries already, or as a new interpreter.

A fork takes milliseconds, where loading PyTorch takes seconds. Where a system or a library does not allow it, a new
interpreter starts instead. Both behave the same.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from apps.agents.sandbox import preloading


class Process(Protocol):
    """A started child. It leads a process group of its own, and has no terminal."""

    pid: int
    stdin: int
    """The writable end of its standard input."""
    output: int
    """The readable end of its standard output and error."""

    def exited(self) -> bool:
        """Whether it has ended. If possible, no other process gets its id before `wait` returns."""
        ...

    def wait(self) -> int:
        """Its exit code, or minus the number of the signal that ended it. Closes both ends."""
        ...


class Spawned:
    """A child that is a new interpreter."""

    def __init__(self, environment: Mapping[str, str], folder: Path, events: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "apps.agents.sandbox.child", str(events), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            pass_fds=[events],
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.stdin, self.output = self._process.stdin.fileno(), self._process.stdout.fileno()

    def exited(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS
            return self._process.poll() is not None
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self) -> int:
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return code


def start(
    modules: tuple[str, ...],
    environment: Mapping[str, str],
    folder: Path,
    events: int,
    should_stop: Callable[[], bool],
) -> Process:
    """A child with this environment, in `folder`, that writes its events to the pipe `events`.

    Loading `modules` may take seconds. `should_stop` is called meanwhile; if it returns true, raises `Stopped`.
    """
    forked = preloading.start(modules, environment, folder, events, should_stop)
    return forked or Spawned(environment, folder, events)
