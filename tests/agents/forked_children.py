"""Jobs for children that are forked: what they find, and what they leave behind."""

from __future__ import annotations

import builtins
import os
import random
import resource
import signal
import sys
import time

from apps.agents.child import JobContext
from apps.agents.job import JobResult

DEAR = ("scipy.stats", "tensorflow", "torch")
TRACE = "lathe_trace_of_a_job"


def tell(context: JobContext) -> JobResult:
    """All that a child has of the process that started it."""
    open_files = [entry for entry in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{entry}")]
    limits = (resource.RLIMIT_AS, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)
    body = {
        "parent": os.getppid(),
        "loaded": [name for name in DEAR if name in sys.modules],
        "environment": {name: value for name, value in os.environ.items() if name != "TMPDIR"},
        "files": sorted(os.readlink(f"/proc/self/fd/{entry}").partition(":")[0] for entry in open_files),
        "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
        "leads": os.getsid(0) == os.getpgrp() == os.getpid(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": [resource.getrlimit(kind) for kind in limits],
        "seed": random.random(),
    }
    return JobResult(body=body)


def leave_a_trace(context: JobContext) -> JobResult:
    """Changes the interpreter, and tells whether it was changed before."""
    found = hasattr(builtins, TRACE)
    setattr(builtins, TRACE, True)
    return JobResult(body={"found": found})


def linger(context: JobContext) -> JobResult:
    context.log("here")
    time.sleep(60)
    return JobResult(body={})


def wait(context: JobContext) -> JobResult:
    """Takes longer than an impatient server waits."""
    time.sleep(1.0)
    return JobResult(body={"parent": os.getppid()})
