"""Programs that a child starts and waits for: processes that measure, and the script of a package.

They belong to the child's process group and end with it (`sandbox.supervision` ends the child itself). Their output
goes to files, so that no pipe fills up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SOURCE_ROOT = Path(__file__).resolve().parents[3]
"""The folder from which `-m apps…` resolves, installed or not."""
_LONGEST_REASON = 300
_KEPT_BYTES = 256 * 1024
"""How much of the end of the output is kept: an untrusted script may print without end."""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    exit_code: int
    """Negative: the number of the signal that ended it."""
    output: str
    errors: str
    limit_s: float
    overdue: bool
    """Whether it was ended because it took longer than `limit_s`."""

    @property
    def well(self) -> bool:
        return self.exit_code == 0 and not self.overdue

    @property
    def killed(self) -> bool:
        """Whether another process killed it, most likely the kernel because of its memory."""
        return self.exit_code == -signal.SIGKILL and not self.overdue

    @property
    def last_words(self) -> list[str]:
        """The lines of its standard error, or of its standard output if that is empty; without blank lines."""
        return [line for line in (self.errors.strip() or self.output).splitlines() if line.strip()]

    @property
    def reason(self) -> str:
        """Why it failed, as the end of a sentence."""
        if self.overdue:
            return f"took more than {self.limit_s:.0f} s"
        reason = self.last_words[-1][:_LONGEST_REASON] if self.last_words else f"exit status {self.exit_code}"
        return f"ended: {reason}"


class Program:
    """A running program; `started` makes one."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes], errors: IO[bytes], limit_s: float) -> None:
        self._process, self._output, self._errors, self._limit_s = process, output, errors, limit_s
        self._overdue = threading.Event()

    def send(self, request: bytes = b"") -> None:
        """Write `request` to its standard input and close that. Ignored if the program has already ended."""
        if self._process.stdin is None:
            raise ValueError("the program was started without a standard input")
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # `ended` has the reason.
            stdin.write(request)

    def ended(self) -> Ended:
        """Wait until it ends."""
        code = self._process.wait()
        return Ended(code, _read(self._output), _read(self._errors), self._limit_s, self._overdue.is_set())

    def end(self) -> None:
        self._overdue.set()
        self._process.kill()


@contextmanager
def started(command: Sequence[str], *, folder: Path, limit_s: float, pass_fds: Sequence[int] = ()) -> Iterator[Program]:
    """`command` running in `folder`. It is ended when the block is left, or after `limit_s`."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=errors, cwd=folder, pass_fds=pass_fds
        )
        program = Program(process, output, errors, limit_s)
        limit = threading.Timer(limit_s, program.end)
        limit.start()
        try:
            yield program
        finally:
            limit.cancel()
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def run_to_end(command: Sequence[str], *, folder: Path, limit_s: float) -> Ended:
    """Run `command` in `folder` with empty standard input."""
    with started(command, folder=folder, limit_s=limit_s) as program:
        program.send()
        return program.ended()


def _read(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _KEPT_BYTES))
    return file.read().decode(errors="replace")
