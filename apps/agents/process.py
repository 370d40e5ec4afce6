"""The outside of a child process: start it, listen to it, hold it to its limits, kill it when it is not wanted.

A crash, a leak or an out-of-memory kill ends that job and never the worker; cancelling is killing; an accelerator's
memory is free when the child is gone. The caller owns the scratch folder and removes it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import psutil
from pydantic import Field, ValidationError

from apps.agents.job import EVENT, Event, Job, JobFailure, JobResult
from apps.agents.values import Value

GRACE_S = 1.0
"""How long a child whose pipe has closed may take to end."""
STDERR_TAIL_BYTES = 8_000
_SOURCE_ROOT = Path(__file__).resolve().parents[2]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Limits(Value):
    """What a child may take: resident memory of its whole process tree, and wall-clock time."""

    memory_bytes: int = Field(gt=0)
    time_s: float = Field(gt=0)


class JobFailed(Exception):
    """The job ended without a result; `failure` says why and whether trying again may help."""

    def __init__(self, failure: JobFailure) -> None:
        self.failure = failure
        super().__init__(f"{failure.code}: {failure.message}")


class JobCancelled(Exception):
    """`should_stop` said so; the child is gone."""


def run_job(
    job: Job,
    *,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
    limits: Limits,
    poll_s: float = 0.25,
) -> JobResult:
    """Runs `job` in a child process and returns its result.

    `on_event` is told of progress, log lines and metrics as they come; `should_stop` is asked every `poll_s` seconds, and
    a true answer kills the child at once. Raises `JobFailed` or `JobCancelled`; either way no process is left.
    """
    deadline = time.monotonic() + limits.time_s
    with _child(job) as child:
        for events in child.heard(poll_s):
            for event in events:
                if isinstance(event, JobResult):
                    return event
                if isinstance(event, JobFailure):
                    raise JobFailed(event)
                on_event(event)
            if should_stop():
                raise JobCancelled
            if time.monotonic() > deadline:
                raise JobFailed(_timed_out(limits))
            if (taken := child.resident_bytes()) > limits.memory_bytes:
                raise JobFailed(_too_large(taken, limits))
        raise JobFailed(child.obituary())


class _Child:
    """A running child, its event pipe, and what it said on standard error."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int, stderr: IO[bytes]) -> None:
        self.process = process
        self._pipe = pipe
        self._stderr = stderr
        self._pending = b""

    def heard(self, poll_s: float) -> Iterator[list[Event]]:
        """What came since the last time, at least every `poll_s` seconds, until the child closes its end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while True:
                if not selector.select(poll_s):
                    yield []
                    continue
                received = os.read(self._pipe, 1 << 16)
                if not received:
                    return
                yield self._parsed(received)

    def _parsed(self, received: bytes) -> list[Event]:
        *lines, self._pending = (self._pending + received).split(b"\n")
        events = []
        for line in lines:
            # A library that writes to our descriptor must not end the job: what is no event is passed over.
            with contextlib.suppress(ValidationError):
                events.append(EVENT.validate_json(line))
        return events

    def resident_bytes(self) -> int:
        """Resident memory of the child and everything that it started."""
        total = 0
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            for process in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def obituary(self) -> JobFailure:
        """Why a child ended that told neither a result nor a failure."""
        try:
            status = self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.returncode
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
            return JobFailure(
                code="step.killed",
                message=f"The process of this step was ended from outside ({name}), often because memory ran out.",
                expected=True,
                transient=True,
                traceback=self._last_words(),
            )
        return JobFailure(
            code="step.errored",
            message=f"The process of this step ended with status {status} and no result.",
            expected=False,
            traceback=self._last_words(),
        )

    def _last_words(self) -> str:
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - STDERR_TAIL_BYTES))
        return self._stderr.read().decode(errors="replace")

    def kill(self) -> None:
        """Ends the child's whole process group at once and waits until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def _child(job: Job) -> Iterator[_Child]:
    """A started child with its job told; gone, with all that it started, when the context ends."""
    reader, writer = os.pipe()
    try:
        with tempfile.TemporaryFile() as stderr:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-m", "apps.agents.child", str(writer)],
                    stdin=subprocess.PIPE,
                    stdout=stderr,
                    stderr=stderr,
                    pass_fds=(writer,),
                    env=_environment(job),
                    cwd=job.scratch,
                    bufsize=0,
                    start_new_session=True,
                )
            finally:
                os.close(writer)
            child = _Child(process, reader, stderr)
            assert process.stdin is not None
            with process.stdin as lifeline:
                try:
                    # A child that died at once has closed its end: its obituary tells more than a broken pipe.
                    with contextlib.suppress(BrokenPipeError):
                        lifeline.write(job.model_dump_json().encode() + b"\n")
                        lifeline.flush()
                    yield child
                finally:
                    child.kill()
    finally:
        os.close(reader)


def _environment(job: Job) -> dict[str, str]:
    """The child's environment: our source root, the job's threads, a temporary folder that goes with the scratch."""
    path = os.pathsep.join(filter(None, (str(_SOURCE_ROOT), os.environ.get("PYTHONPATH"))))
    threads = dict.fromkeys(_THREAD_VARIABLES, str(job.threads))
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    # A fixed hash seed keeps the order of sets, and with it the bytes that libraries write, the same every time.
    return {**os.environ, **threads, **offline, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "TMPDIR": str(job.scratch)}


def _timed_out(limits: Limits) -> JobFailure:
    minutes = limits.time_s / 60
    message = f"The step took longer than the limit of {minutes:g} minutes. Use less data, or ask the operators for more."
    return JobFailure(code="step.timed_out", message=message, expected=True)


def _too_large(taken: int, limits: Limits) -> JobFailure:
    message = f"The step took {taken / 1e9:.2f} GB of memory; the limit is {limits.memory_bytes / 1e9:.2f} GB."
    return JobFailure(code="step.out_of_memory", message=message, expected=True, transient=True)
