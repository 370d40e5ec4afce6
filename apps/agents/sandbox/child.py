"""The child process: takes one job, sends events, and leaves nothing behind.

`python -m apps.agents.sandbox.child EVENT_FD PARENT_PID` reads a `Job` as one line of JSON from standard input, runs
the job's handler and writes events as lines of JSON to EVENT_FD (`contracts.job`). Output that libraries print goes to
standard output and error and does not interfere. Standard input stays open as a lifeline: when it ends, this process
and everything it has started ends too.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
import random
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Literal, cast

from apps.agents.contracts.errors.steps import (
    StepCoresUnavailable,
    StepDiskFailed,
    StepFileTooLarge,
    StepOutOfMemory,
    StepSandboxUnavailable,
)
from apps.agents.contracts.faults import Fault, blame, blamed, causes, disk_trouble
from apps.agents.contracts.job import (
    CheckpointKept,
    Event,
    Job,
    JobFailure,
    JobResult,
    LogLine,
    MetricValue,
    Progress,
    QuietWait,
)
from apps.agents.sandbox.cores import bind, written
from apps.agents.sandbox.parent_watch import die_at_end_of, die_with_parent
from apps.agents.sandbox.walls.closing import close_in
from apps.errors import UserError

Handler = Callable[["JobContext"], JobResult]

INTERNAL_ERROR = "step.error"
CHECKPOINTS = "checkpoints"
"""The folder in `job.scratch` where checkpoints wait to be stored."""
_OUT_OF_MEMORY = ("bad_alloc", "out of memory", "failed to allocate memory", "cannot allocate memory", "_alloc_failed")
"""Messages, in lower case, of libraries that do not have their own error class for it."""
_PREFER_TO_BE_KILLED = "500"
"""On the kernel's scale of -1000 to 1000: if memory runs out, the kernel kills this process before the worker."""


class JobContext:
    """What a handler receives: its job, and methods to report progress. Safe to use from several threads."""

    def __init__(self, job: Job, events: IO[str]) -> None:
        self.job = job
        self._events = events
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def out(self) -> Path:
        """The folder for files to keep. Everything else under `job.scratch` is deleted."""
        folder = self.job.scratch / "out"
        folder.mkdir(exist_ok=True)
        return folder

    def progress(
        self, fraction: float, message: str, eta_s: float | None = None, *, quiet_wait: QuietWait | None = None
    ) -> None:
        """Report that `fraction` of the job is done, 0 to 1, and that `eta_s` seconds are left, if known.

        A job that waits for a quiet machine adds how long it does.
        """
        if not math.isfinite(fraction):
            raise ValueError(f"progress {fraction!r} is not a number between 0 and 1")
        known_eta = None if eta_s is None or not math.isfinite(eta_s) else max(0.0, eta_s)
        done = min(1.0, max(0.0, fraction))
        self.send(Progress(fraction=done, message=message, eta_s=known_eta, quiet_wait=quiet_wait))

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None:
        """Log a line for the people who watch the session."""
        self.send(LogLine(level=level, message=message))

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Report a number before the job ends; with the `step` of a training, it is a point of the curve `name`.

        JSON cannot express NaN, so it becomes a warning instead.
        """
        if math.isfinite(value):
            self.send(MetricValue(name=name, value=value, step=step))
        else:
            self.log(f"{name} is {value}", "warning")

    @property
    def checkpoint(self) -> Path | None:
        """The file that an earlier attempt of this step kept last; `None` at the first.

        Read it before the next one is kept: the store may remove it then.
        """
        return self.job.inputs.get("checkpoint")

    def keep_checkpoint(self, file: Path) -> None:
        """Keep `file` for a next attempt, in place of the one before. It is taken over: its name is free afterwards.

        Raises `ValueError` for what is not a file under `job.scratch`, or has no bytes.
        """
        found = self.job.file(str(file.absolute()))
        if not found.is_file() or not found.stat().st_size:
            raise ValueError(f"{file} cannot be kept as a checkpoint: it is not a file with bytes in it")
        if not self.job.identity:
            found.unlink()
            return
        kept = self.job.scratch / CHECKPOINTS / f"{next(self._numbers):06d}"
        kept.parent.mkdir(exist_ok=True)
        found.rename(kept)
        self.send(CheckpointKept(path=kept.relative_to(self.job.scratch).as_posix()))

    def send(self, event: Event) -> None:
        line = event.model_dump_json()
        with self._lock:
            self._events.write(line + "\n")
            self._events.flush()


def main(event_fd: int, parent: int) -> None:
    """Close this process in, run the job from standard input, report how it ended, and exit at once."""
    die_with_parent(parent)
    _offer_to_the_oom_killer()
    os.set_inheritable(event_fd, False)
    lifeline = _own_standard_input()
    job = Job.model_validate_json(_first_line(lifeline))
    refusal = _closed_in(job)  # Before the first thread, which would stay outside.
    die_at_end_of(lifeline)
    with open(event_fd, "w", encoding="utf-8") as events:
        context = JobContext(job, events)
        context.send(refusal or outcome(context))
    sys.stdout.flush()
    sys.stderr.flush()
    # Libraries that shut down together may hang or crash; the result has been sent by now.
    os._exit(0)


def _closed_in(job: Job) -> JobFailure | None:
    """Close this process in with the job's sandbox. Returns why that failed: the job is not run then."""
    try:
        close_in(job, job.sandbox)
    except OSError as error:
        ours = StepSandboxUnavailable(reason=str(error))
        return _infrastructure_failure(ours, Fault.INFRASTRUCTURE, "".join(traceback.format_exception(error)))
    return None


def outcome(context: JobContext) -> JobResult | JobFailure:
    """The handler's result, or the reason for the failure."""
    try:
        random.seed(context.job.seed)
        _take_its_cores(context)
        result = handler_of(context.job)(context)
        if not isinstance(result, JobResult):
            raise TypeError(f"the handler {context.job.handler} returned {type(result).__name__}, not JobResult")
    except Exception as error:
        return failure_of(error, context.job.scratch, context.job.largest_file_bytes)
    return result


def _take_its_cores(context: JobContext) -> None:
    """Stay on the cores of the job, if it has any. Raises `StepCoresUnavailable`, which is the worker's fault."""
    cores, threads = context.job.cores, context.job.threads
    if not cores:
        return
    try:
        bind(cores)
    except StepCoresUnavailable as error:
        raise blame(error, Fault.INFRASTRUCTURE) from None
    if threads > len(cores):
        context.log(
            f"The target asks for {threads} threads, but this worker measures on {len(cores)} "
            f"core{'s' if len(cores) > 1 else ''} (LATHE_CORES is {written(cores)}): the threads share them, so models "
            "run slower here than on the target.",
            "warning",
        )


def handler_of(job: Job) -> Handler:
    """The function at the job's dotted path."""
    module, _, name = job.handler.partition(":")
    return cast(Handler, getattr(import_module(module), name))


def failure_of(error: Exception, scratch: Path | None = None, largest_file_bytes: int | None = None) -> JobFailure:
    """The error for the parent: a full disk, out of memory, an expected error with its own code, or a bug."""
    trace = "".join(traceback.format_exception(error))
    if largest_file_bytes is not None and _wrote_too_much(error):
        error = StepFileTooLarge(limit_mib=largest_file_bytes / 2**20)
    if (reason := disk_trouble(error, scratch)) is not None:
        return _infrastructure_failure(StepDiskFailed(reason=reason), Fault.INFRASTRUCTURE, trace)
    if ran_out_of_memory(error):
        return _infrastructure_failure(StepOutOfMemory(reason="an allocation failed"), Fault.MEMORY, trace)
    if isinstance(error, UserError):
        return JobFailure(
            code=error.code,
            message=error.message,
            expected=True,
            fault=blamed(error),
            field=error.field,
            traceback=trace,
        )
    message = f"{type(error).__name__}: {error}"
    return JobFailure(code=INTERNAL_ERROR, message=message, expected=False, fault=blamed(error), traceback=trace)


def _infrastructure_failure(error: UserError, fault: Fault, trace: str) -> JobFailure:
    return JobFailure(
        code=error.code, message=error.message, expected=True, transient=True, fault=fault, traceback=trace
    )


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether `error` or its cause is a lack of memory: Python's, a runtime's or an accelerator's."""
    return any(
        isinstance(cause, MemoryError)
        or type(cause).__name__ in ("OutOfMemoryError", "ResourceExhaustedError")
        or any(words in str(cause).lower() for words in _OUT_OF_MEMORY)
        for cause in causes(error)
    )


def _wrote_too_much(error: BaseException) -> bool:
    return any(isinstance(cause, OSError) and cause.errno == errno.EFBIG for cause in causes(error))


def _own_standard_input() -> int:
    """Move standard input to another number and leave an empty one, so that no library can read the lifeline."""
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lifeline


def _first_line(fd: int) -> bytes:
    """Everything up to the end of the first line. Nothing follows it."""
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
        if b"\n" in part:
            break
    return b"".join(parts)


def _offer_to_the_oom_killer() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(_PREFER_TO_BE_KILLED)
    except OSError:  # Not Linux, or not allowed in this container: the kernel then decides by size only.
        return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
