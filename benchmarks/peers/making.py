"""Runs one entry on one model in a process of its own, and counts what that takes."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.own_portal import ROOT
from benchmarks.peers.catalogue import Entry
from benchmarks.peers.environments import EnvironmentMissing, last_error, python_of
from benchmarks.peers.makers.job import MADE, Job
from benchmarks.peers.results import Row

LONGEST_REASON = 200
ORPHANS_END_WITHIN_S = 5.0
_PR_SET_CHILD_SUBREAPER = 36
SILENT = {"CI": "true", "OLIVE_DISABLE_TELEMETRY": "1"}
"""Some peers report their use to their makers, unless they run in a pipeline."""


@dataclass(frozen=True)
class Ended:
    """How a process ended, with the CPU time of it and of all its children."""

    code: int
    wall_s: float
    cpu_s: float
    errors: str
    timed_out: bool = False


@dataclass(frozen=True)
class Made:
    """An artifact to measure."""

    path: Path
    format: str


def make(entry: Entry, job: Job, limit_s: float) -> tuple[Row, Made | None]:
    """The row without its measurement, and the artifact; the row says why if there is none."""
    try:
        python = python_of(entry.environment)
    except EnvironmentMissing as error:
        return Row(entry=entry.key, failure=shortened(str(error))), None
    command = [str(python), "-m", entry.module, str(job.write())]
    ended = run(command, job.folder, limit_s, {} if entry.is_lathe else SILENT)
    row = Row(entry=entry.key, wall_s=ended.wall_s, cpu_s=ended.cpu_s)
    made = job.folder / MADE
    if ended.code or not made.is_file():
        return row.model_copy(update={"failure": reason_of(ended, limit_s)}), None
    body = json.loads(made.read_text(encoding="utf-8"))
    told = {"releases": body["releases"], "what": body["what"]}
    return row.model_copy(update=told), Made(Path(body["artifact"]), body["format"])


def run(command: list[str], folder: Path, limit_s: float, environment: Mapping[str, str] | None = None) -> Ended:
    """Runs `command` in `folder`, where its output goes and whatever it leaves, and ends it after `limit_s`."""
    start = time.monotonic()
    with (folder / "output.log").open("wb") as output, (folder / "errors.log").open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        over = threading.Event()
        timer = threading.Timer(limit_s, _end, (process.pid, over))
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
    process.returncode, wall_s = os.waitstatus_to_exitcode(status), time.monotonic() - start
    said = (folder / "errors.log").read_text(encoding="utf-8", errors="replace")
    return Ended(process.returncode, wall_s, _cpu_s(usage) + _orphans_cpu_s(), said, over.is_set())


def adopt_orphans() -> None:
    """From now on, children that lose their parent become this process's, so that their CPU time is known, too. Linux
    only: elsewhere it is counted without them."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _orphans_cpu_s() -> float:
    """CPU time of adopted children, once they have ended."""
    found, until = 0.0, time.monotonic() + ORPHANS_END_WITHIN_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < until:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
            found += _cpu_s(usage)
            if not pid:
                time.sleep(0.05)
    return found


def _cpu_s(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def _end(group: int, over: threading.Event) -> None:
    over.set()
    os.killpg(group, signal.SIGKILL)


def reason_of(ended: Ended, limit_s: float) -> str:
    """Why nothing was made, in a few words."""
    if ended.timed_out:
        return f"not done within {limit_s / 60:.0f} minutes"
    if ended.code < 0:
        return f"killed by {signal.Signals(-ended.code).name}"
    return shortened(last_error(ended.errors))


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
