"""Jobs for real children that try to get out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

from apps.agents.contracts.job import JobResult
from apps.agents.sandbox.child import JobContext
from tests.agents import escapes


def try_everything(context: JobContext) -> JobResult:
    """The ways out that were open. Its honest part also copies a file with its times, as libraries do."""
    (context.out / "honest.txt").write_text("work")
    shutil.copy2(context.out / "honest.txt", context.out / "copied.txt")
    return JobResult(body={"open": escapes.successes(context.job.arguments)})


def try_everything_in_a_process(context: JobContext) -> JobResult:
    """The same from a process that it starts."""
    program = "import json, sys; from tests.agents import escapes; print(escapes.successes(json.load(sys.stdin)))"
    import json

    told = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(context.job.arguments),
        capture_output=True,
        text=True,
        check=True,
    )
    return JobResult(body={"open": told.stdout.strip()})


def try_everything_in_a_thread(context: JobContext) -> JobResult:
    import threading

    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(escapes.successes(context.job.arguments)))
    thread.start()
    thread.join()
    return JobResult(body={"open": found})


def multiply(context: JobContext) -> JobResult:
    """Starts processes that sleep and leave its group, until it is ended."""
    for number in range(1_000):
        pid = os.fork()
        if not pid:
            os.setsid()
            time.sleep(60)
            os._exit(0)
        if number % 50 == 0:
            context.log(str(pid))
    time.sleep(60)
    return JobResult(body={})


def outlive(context: JobContext) -> JobResult:
    """Leaves a process behind that nobody is the parent of."""
    reading, writing = os.pipe()
    if not os.fork():
        pid = os.fork()
        if not pid:
            os.setsid()
            time.sleep(60)
        os.write(writing, str(pid).encode())
        os._exit(0)
    return JobResult(body={"left": int(os.read(reading, 20))})


def write_too_much(context: JobContext) -> JobResult:
    with open(context.out / "large", "wb") as file:
        for _ in range(100):
            file.write(bytes(2**20))
    return JobResult(body={})
