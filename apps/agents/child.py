"""The inside of a child process: read one job, run its handler, tell what happens, end.

Started by `apps.agents.process` as `python -m apps.agents.child EVENT_FD`. The job comes as one line on standard input, which
stays open as a lifeline: when the parent dies, however it dies, the pipe closes and so does this process. Events
go to a descriptor of their own, so that what libraries print disturbs nothing.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, TextIO, cast

from apps.agents.job import Job, JobFailure, JobResult, LogLine, MetricValue, Progress
from apps.agents.values import Value
from apps.errors import UserError

_PR_SET_PDEATHSIG = 1
ORPHANED = 3
"""Exit status of a child whose parent went away."""

Handler = Callable[["JobContext"], JobResult]


class JobContext:
    """What a handler gets: its job, and the ways to tell how it goes."""

    def __init__(self, job: Job, events: TextIO) -> None:
        self.job = job
        self._events = events
        self._lock = threading.Lock()

    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None:
        """How far the work is, between 0 and 1, what it does now, and how long the rest may take, in seconds."""
        self.tell(Progress(fraction=min(1.0, max(0.0, fraction)), message=message, eta_s=eta_s))

    def log(self, message: str, level: str = "info") -> None:
        """A line for the session's log: `level` is `info`, `warning` or `error`."""
        self.tell(LogLine.model_validate({"message": message, "level": level}))

    def metric(self, name: str, value: float) -> None:
        self.tell(MetricValue(name=name, value=value))

    def tell(self, event: Value) -> None:
        with self._lock:
            self._events.write(event.model_dump_json() + "\n")
            self._events.flush()


def load_handler(path: str) -> Handler:
    """The callable at the dotted path `module:function`."""
    module, _, name = path.partition(":")
    return cast(Handler, getattr(importlib.import_module(module), name))


def run(job: Job, events: TextIO) -> int:
    """Runs the handler and tells its result or its failure. Returns the exit status."""
    context = JobContext(job, events)
    try:
        random.seed(job.seed)
        context.tell(load_handler(job.handler)(context))
    except UserError as error:
        context.tell(JobFailure(code=error.code, message=error.message, expected=True, field=error.field))
    except MemoryError:
        context.tell(out_of_memory("The step asked for more memory than there is."))
    except Exception as error:
        context.tell(_errored(error))
    else:
        return 0
    return 1


def out_of_memory(message: str) -> JobFailure:
    """Trying again with smaller batches may help."""
    return JobFailure(code="step.out_of_memory", message=message, expected=True, transient=True)


def _errored(error: Exception) -> JobFailure:
    """A bug of ours, with its traceback for the operators; runtimes report an allocation that failed in words only."""
    text = f"{type(error).__name__}: {error}"
    if any(sign in text.lower() for sign in ("bad_alloc", "out of memory", "failed to allocate memory")):
        return out_of_memory(text[:500])
    return JobFailure(code="step.errored", message=text[:2000], expected=False, traceback=traceback.format_exc())


def _hold_the_lifeline(stdin: Any) -> None:
    """Ends this process at once when the parent's end of standard input closes."""

    def watch() -> None:
        while stdin.read(4096):
            pass
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _die_with_the_parent() -> None:
    """On Linux the kernel helps, even while native code holds the interpreter. Elsewhere the lifeline does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    events = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    stdin = sys.stdin.buffer
    job = Job.model_validate_json(stdin.readline())
    _die_with_the_parent()
    _hold_the_lifeline(stdin)
    return run(job, events)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Native thread pools may hang or crash while the interpreter is taken down; everything was told already.
    os._exit(status)
