"""One child process and its pipes: started in its own process group, watched, and never left behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pydantic import ValidationError

from apps.agents.contracts.job import EVENT, Event, JobFailure, JobResult, LogLine
from apps.agents.sandbox.starting import start

LAST_WORDS_BYTES = 16 * 1024
"""How much of the child's output is kept."""
LONGEST_LINE_BYTES = 256 * 1024 * 1024
"""A longer event is invalid: the largest report has some megabytes."""
GRACE_S = 5.0
"""Seconds in which a child may end by itself after it has sent its result."""
DESCENDANTS_EVERY_S = 1.0
"""Seconds between searches for processes that the child started, because a search reads the whole process table. Their
memory is read every time."""
MOST_PROCESSES = 256
"""Beside the child itself. A step starts a handful: for measuring, and a compiler."""
_NOT_OF_FILES = (b"RssAnon", b"RssShmem")
"""In `/proc/PID/status`, in KiB."""
_SHOWN_OF_GARBAGE = 200
_ENDING_S = 0.01
"""Seconds between looks at a child that has closed its pipes: it is about to end."""
_CHUNK_BYTES = 1 << 16


class Ending(Enum):
    """Why watching ended."""

    EXITED = auto()
    STOPPED = auto()
    TOO_LARGE = auto()
    TOO_LONG = auto()
    TOO_MANY = auto()


class Child:
    """A running child, as a context manager. When the block is left, its whole process group has ended."""

    outcome: JobResult | JobFailure | None = None
    exit_code: int = 0
    """Negative: the number of the signal that ended it. Set when the block is left."""

    def __init__(
        self,
        modules: tuple[str, ...],
        job: str,
        environment: Mapping[str, str],
        folder: Path,
        should_stop: Callable[[], bool],
    ) -> None:
        """It works in `folder`, and has loaded `modules` when it starts, if the system allows that. Raises `Stopped`
        if `should_stop` returns true meanwhile."""
        self._events, event_end = os.pipe()
        try:
            self._process = start(modules, environment, folder, event_end, should_stop)
        except BaseException:
            os.close(self._events)
            raise
        finally:
            os.close(event_end)
        self._unsent = memoryview(job.encode() + b"\n")
        self._line = bytearray()
        self._printed = bytearray()
        self._tree = Tree(self._process.pid)
        self._selector = selectors.DefaultSelector()
        self._register()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def last_words(self) -> str:
        """The end of what the child and its libraries printed."""
        return self._printed.decode(errors="replace").strip()

    def watch(
        self,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
        memory_bytes: int | None,
        time_s: float | None,
        poll_s: float,
    ) -> Ending:
        """Pass events on until the child ends, `should_stop` returns true, or a limit is exceeded. It may live on."""
        deadline = time.monotonic() + (float("inf") if time_s is None else time_s)
        look_at = 0.0
        told_at: float | None = None
        while True:
            if self._process.exited():
                self._kill_group()  # Processes that it left behind would keep the pipes open.
                self._drain(on_event)
                return Ending.EXITED
            self._serve(on_event, poll_s)
            now = time.monotonic()
            if self.outcome is not None:
                told_at = told_at or now
                if now - told_at > GRACE_S:
                    return Ending.EXITED
                continue
            if now < look_at:
                continue
            look_at = now + poll_s
            if should_stop():
                return Ending.STOPPED
            if now > deadline:
                return Ending.TOO_LONG
            if memory_bytes is not None and self._tree.bytes() > memory_bytes:
                return Ending.TOO_LARGE
            if self._tree.processes() > MOST_PROCESSES:
                return Ending.TOO_MANY

    # --- pipes --------------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        os.set_blocking(self._process.stdin, False)
        self._selector.register(self._process.stdin, selectors.EVENT_WRITE)
        for fd in (self._events, self._process.output):
            os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ)

    def _drain(self, on_event: Callable[[Event], None]) -> None:
        """Read what is left in the child's pipes."""
        deadline = time.monotonic() + GRACE_S
        while self._selector.get_map() and time.monotonic() < deadline and self._serve(on_event, 0.0):
            continue

    def _serve(self, on_event: Callable[[Event], None], timeout_s: float) -> int:
        """Write and read what is ready, waiting at most `timeout_s`. Returns the number of ready pipes."""
        if not self._selector.get_map():
            time.sleep(min(timeout_s, _ENDING_S))
        ready = self._selector.select(timeout_s) if self._selector.get_map() else []
        for key, _ in ready:
            if key.events == selectors.EVENT_WRITE:
                self._send(key.fd)
            elif key.fd == self._events:
                self._receive(key.fd, on_event)
            else:
                self._overhear(key.fd)
        return len(ready)

    def _send(self, fd: int) -> None:
        """Continue writing the job. The pipe stays open afterwards as the child's lifeline."""
        try:
            self._unsent = self._unsent[os.write(fd, self._unsent[:_CHUNK_BYTES]) :]
        except BrokenPipeError:  # The child has ended already; its exit code has the reason.
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._selector.unregister(fd)

    def _receive(self, fd: int, on_event: Callable[[Event], None]) -> None:
        for line in self._lines(self._read(fd)):
            event = parse_event(line)
            if isinstance(event, JobResult | JobFailure):
                self.outcome = event
            else:
                on_event(event)

    def _lines(self, data: bytes) -> Iterator[bytes]:
        *complete, rest = data.split(b"\n")
        for part in complete:
            self._line += part
            yield bytes(self._line)
            self._line.clear()
        self._line += rest
        if len(self._line) > LONGEST_LINE_BYTES:
            self._line.clear()

    def _overhear(self, fd: int) -> None:
        self._printed += self._read(fd)
        del self._printed[:-LAST_WORDS_BYTES]

    def _read(self, fd: int) -> bytes:
        data = os.read(fd, _CHUNK_BYTES)
        if not data:
            self._selector.unregister(fd)
        return data

    # --- ending -------------------------------------------------------------------------------------------------------

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses this for a group of zombies.
            os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self) -> None:
        """Kill the rest of the group and processes that have left it, and wait for the child."""
        escaped = self._tree.descendants()
        self._kill_group()
        for process in escaped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.exit_code = self._process.wait()
        psutil.wait_procs(escaped, timeout=GRACE_S)
        self._selector.close()
        os.close(self._events)


class Tree:
    """A process and everything it has started: their memory, without file pages, and their number."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: list[psutil.Process] = []
        self._refresh_at = 0.0

    def bytes(self) -> int:
        self._refresh()
        return sum(_resident_bytes(process) for process in (*self._itself(), *self._known))

    def processes(self) -> int:
        """How many it has started that live."""
        self._refresh()
        return len(self._known)

    def descendants(self) -> list[psutil.Process]:
        """The living processes that this one has started, directly or indirectly."""
        found: list[psutil.Process] = []
        for process in self._itself():
            with contextlib.suppress(psutil.NoSuchProcess):
                found = process.children(recursive=True)
        return found

    def _refresh(self) -> None:
        now = time.monotonic()
        if now >= self._refresh_at:
            self._known = self.descendants()
            self._refresh_at = now + DESCENDANTS_EVERY_S

    def _itself(self) -> list[psutil.Process]:
        try:
            return [psutil.Process(self._pid)]
        except psutil.NoSuchProcess:
            return []


def _resident_bytes(process: psutil.Process) -> int:
    """Resident memory. On Linux without file pages, which the kernel can drop when it needs memory.

    What several processes share counts for each of them. Where the kernel does not tell file pages from shared memory,
    both count: otherwise no limit would hold for shared memory.
    """
    try:
        own_bytes = _without_file_pages(process.pid)
        return int(process.memory_info().rss) if own_bytes is None else own_bytes
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return 0


def _without_file_pages(pid: int) -> int | None:
    """The process's own memory, and what it has mapped of shared memory: anonymous, `memfd` and `tmpfs`.

    `None` where the kernel does not say (Linux 4.5 or newer does). Raises `OSError`.
    """
    if not sys.platform.startswith("linux"):
        return None
    fields = dict(line.split(b":", 1) for line in Path(f"/proc/{pid}/status").read_bytes().splitlines())
    if not fields.keys() >= set(_NOT_OF_FILES):
        return None
    return sum(int(fields[name].split()[0]) * 1024 for name in _NOT_OF_FILES)


def parse_event(line: bytes) -> Event:
    """The event on a line. An invalid line becomes a warning with its beginning."""
    try:
        return EVENT.validate_json(line)
    except ValidationError:
        shown = line[:_SHOWN_OF_GARBAGE].decode(errors="replace")
        return LogLine(level="warning", message=f"The child process wrote a line that is not an event: {shown}")


def signal_name(number: int) -> str:
    """For example `SIGSEGV (Segmentation fault)`; a number without a name is returned as it is."""
    try:
        return f"{signal.Signals(number).name} ({signal.strsignal(number)})"
    except ValueError:
        return f"signal {number}"
