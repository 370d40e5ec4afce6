"""Two ways to start a job's child: a fresh interpreter, or a fork of one that has the libraries loaded already."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Ends(NamedTuple):
    """The child's ends of its three pipes."""

    received: int
    printed: int
    events: int


class Started(Protocol):
    """A child that has a process group of its own, numbered as itself."""

    pid: int

    def exited(self) -> bool:
        """Whether the child has ended. Where that can be seen without reaping it, its group's number stays its own."""
        ...

    def reap(self) -> int:
        """Wait for a child that has ended or been killed: its exit code, or the negative number of a signal."""
        ...


Start = Callable[[Ends], Started]


class Fresh:
    """A child in an interpreter of its own, which loads everything anew and lies in memory as no other does."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, ends: Ends) -> None:
        """`command` gets two arguments more: the number of the event pipe and this process's own number."""
        self._process = subprocess.Popen(
            [*command, str(ends.events), str(os.getpid())],
            stdin=ends.received,
            stdout=ends.printed,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            pass_fds=[ends.events],
            start_new_session=True,
        )
        self.pid = self._process.pid

    def exited(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS
            return self._process.poll() is not None
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def reap(self) -> int:
        return self._process.wait()
