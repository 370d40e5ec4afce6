"""What Lathe says of one speed-up while other programs want the same core.

    taskset -c 1 .venv/bin/python benchmarks/timing_under_load.py --candidate INT8.onnx [--busy 0 2 6] [--unprivileged]

Each program works 4 ms and sleeps 2 ms, in a session of its own and on the same core (Linux shares a core by session,
so programs of one session would get one share together and disturb nothing). A plain wall-clock median of this pair is
wrong by a factor of three to four there. For each number of programs the table has what the timer says, how many runs
were disturbed, and the ratio by CPU time; with `--unprivileged` the scheduler is asked for nothing, as in a container
without CAP_SYS_NICE. A row is true where the interval covers the quiet one's value, or the machine is said to be too
busy; the exit status is 1 where one is not.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.measuring.effort import Effort, Question
from apps.agents.measuring.fresh_processes import FreshProcessTimer
from apps.agents.measuring.protocol import ModelFile

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SLEEPER = """
import time
while True:
    end = time.thread_time() + 0.004
    while time.thread_time() < end:
        pass
    time.sleep(0.002)
"""
CORE = str(max(os.sched_getaffinity(0)))
TOLERANCE = 0.05
"""How far the quiet ratio itself moves from one comparison to the next."""


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """`programs` beside this one on the same core."""
    command = ["setsid", "taskset", "-c", CORE, sys.executable, "-c", SLEEPER]
    started = [subprocess.Popen(command) for _ in range(programs)]
    try:
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()


def timed(original: Path, candidate: Path, effort: Effort) -> LatencyComparison:
    with tempfile.TemporaryDirectory() as folder:
        files = [ModelFile(format="onnx", path=path.absolute()) for path in (original, candidate)]
        timer = FreshProcessTimer(*files, Path(folder), effort)
        with np.load(SAMPLES / "fashion_mnist_test.npz") as stored:
            image = stored["image"][:1].astype(np.float32) / 255
        return timer.compare({"image": image}, Target(), Question(seed=1))


def is_true(found: LatencyComparison, quiet: LatencyComparison) -> bool:
    if found.busy:
        return True
    low, high = found.speedup.low or 0.0, found.speedup.high or 0.0
    return low <= quiet.speedup.value * (1 + TOLERANCE) and high >= quiet.speedup.value * (1 - TOLERANCE)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, default=SAMPLES / "fashion_resnet.onnx")
    parser.add_argument("--candidate", type=Path, required=True)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 2, 6])
    parser.add_argument("--budget", type=float, default=10.0, help="seconds of timing for each row")
    parser.add_argument("--unprivileged", action="store_true", help="ask the scheduler for nothing")
    chosen = parser.parse_args(arguments)
    effort = Effort(budget_s=chosen.budget, priority=not chosen.unprivileged)
    print("| programs beside it | says | processes | disturbed | by CPU time | priority | true |")
    print("|---|---|---|---|---|---|---|")
    quiet: LatencyComparison | None = None
    all_true = True
    for programs in chosen.busy:
        with busy(programs):
            found = timed(chosen.original, chosen.candidate, effort)
        quiet = quiet or found
        all_true &= is_true(found, quiet)
        print(_row(programs, found, is_true(found, quiet)), flush=True)
    return 0 if all_true else 1


def _row(programs: int, found: LatencyComparison, true: bool) -> str:
    low, high = found.speedup.low or 0.0, found.speedup.high or 0.0
    said = "too busy" if found.busy else f"{found.speedup.value:.2f} [{low:.2f}, {high:.2f}]"
    by_cpu = f"{found.cpu_speedup.value:.2f}" if found.cpu_speedup else "–"
    disturbed = f"{found.disturbed:,} of {found.runs:,}"
    cells = (str(programs), said, str(found.processes), disturbed, by_cpu, found.priority, "yes" if true else "NO")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
