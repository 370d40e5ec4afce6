"""Jobs for real child processes: each does one thing that a step may do to its worker."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from apps.agents.contracts.errors.models import ModelTruncated
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.job import JobResult
from apps.agents.sandbox.child import JobContext


def work(context: JobContext) -> JobResult:
    """Tells its progress, leaves a file and returns what it was given."""
    print("a library prints what it likes")
    context.progress(0.5, "Half", eta_s=1.0)
    context.log("Careful", "warning")
    context.metric("accuracy", 0.75)
    context.metric("loss", float("nan"))
    (context.out / "file.txt").write_text("kept")
    body = {
        "arguments": context.job.arguments,
        "threads": os.environ["OMP_NUM_THREADS"],
        "variables": sorted(os.environ),
        "folder": os.getcwd(),
    }
    return JobResult(body=body)


def describe_itself(context: JobContext) -> JobResult:
    """What may differ from one way of starting a child to another."""
    body = {
        "environment": {name: value for name, value in os.environ.items() if name != "LC_CTYPE"},
        "folder": os.getcwd(),
        "temporary": tempfile.gettempdir(),
        "leads": os.getpgid(0) == os.getpid(),
        "parent": os.getppid(),
        "modules": sorted(sys.modules),
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "handlers": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "hash": hash("the same in all"),
        "umask": os.umask(0),
    }
    return JobResult(body=body)


def refuse(context: JobContext) -> JobResult:
    raise ModelTruncated(reason="byte 7 is missing", field="model")


def break_down(context: JobContext) -> JobResult:
    raise KeyError("no such thing")


def forget(context: JobContext) -> None:
    """Returns no result."""


def crash(context: JobContext) -> JobResult:
    context.log("about to crash")
    os.kill(os.getpid(), signal.SIGSEGV)
    return JobResult(body={})


def leave(context: JobContext) -> JobResult:
    print("so long", file=sys.stderr, flush=True)
    os._exit(3)


def run_out_of_memory(context: JobContext) -> JobResult:
    raise MemoryError


def run_out_of_memory_in_a_library(context: JobContext) -> JobResult:
    try:
        raise RuntimeError("std::bad_alloc")
    except RuntimeError as error:
        raise ModelRunFailed(reason="it does not fit") from error


def grow(context: JobContext) -> JobResult:
    """Takes 400 MB for itself."""
    held = bytearray(os.urandom(1024) * 400_000)
    time.sleep(60)
    return JobResult(body={"held": len(held)})


def grow_in_shared_memory(context: JobContext) -> JobResult:
    """The same in memory that other processes could share."""
    return _fill(mmap.mmap(-1, 400_000_000))


def grow_in_a_file_in_memory(context: JobContext) -> JobResult:
    """The same in a file that is nowhere else."""
    file = os.memfd_create("held")
    os.truncate(file, 400_000_000)
    return _fill(mmap.mmap(file, 400_000_000))


def _fill(held: mmap.mmap) -> JobResult:
    for start in range(0, len(held), mmap.PAGESIZE):
        held[start] = 1
    time.sleep(60)
    return JobResult(body={"held": len(held)})


def let_a_process_grow(context: JobContext) -> JobResult:
    """The same in a process of its own."""
    subprocess.run([sys.executable, "-c", "import time; x = bytearray(b'x' * 400_000_000); time.sleep(60)"], check=True)
    return JobResult(body={})


def linger(context: JobContext) -> JobResult:
    """Sleeps beside a process that it has started and one that has left its group, having told their numbers."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    inside = subprocess.Popen(command)
    outside = subprocess.Popen(command, start_new_session=True)
    (context.out / "file.txt").write_text("left behind?")
    context.log(f"{os.getpid()} {inside.pid} {outside.pid}")
    time.sleep(60)
    return JobResult(body={})


def abandon(context: JobContext) -> JobResult:
    """Ends well, and leaves a process behind that holds all its pipes."""
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    return JobResult(body={"left": left.pid})


def babble(context: JobContext) -> JobResult:
    """Writes garbage between its events, one piece of it very long."""
    stream = context._events
    stream.write("not json\n" + '{"type": "unheard of"}\n' + '{"type": "progress"}\n' + "\x00\xff" * 100_000 + "\n")
    context.log("after the garbage")
    return JobResult(body={"long": "x" * 1_000_000})


def read_input(context: JobContext) -> JobResult:
    """What a library that asks for input gets."""
    return JobResult(body={"read": sys.stdin.read()})


def tell_its_cores(context: JobContext) -> JobResult:
    """The cores that this process may use, and those of one that it starts."""
    program = "import os; print(*sorted(os.sched_getaffinity(0)))"
    started = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    mine = sorted(os.sched_getaffinity(0))
    return JobResult(body={"mine": mine, "started": [int(core) for core in started.stdout.split()]})


def go_on(context: JobContext) -> JobResult:
    """Says what it starts from, and keeps a checkpoint that it names as one does from its working folder."""
    context.log("starts anew" if context.checkpoint is None else f"goes on from {context.checkpoint.read_text()}")
    file = Path("state.bin")
    file.write_text("half")
    context.keep_checkpoint(file)
    return JobResult(body={})
