"""What `make demo` says beside busy programs, held against what it says without them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.agents.contracts.state import Outcome
from apps.optimization.exit_codes import UNDECIDED
from benchmarks.timing_under_load import CORE, TOLERANCE, busy
from benchmarks.truth.form import Form
from benchmarks.truth.rows import Row

ROOT = Path(__file__).resolve().parents[2]
SAID = re.compile(r"delivered\..*?([\d.]+)× as fast(?: \[([\d.]+), ([\d.]+)\])?")
NARROW = 0.05
TIMEOUT_S = 1200


@dataclass(frozen=True)
class Demo:
    code: int
    words: str
    seconds: float

    @property
    def speedup(self) -> tuple[float, float, float] | None:
        """The value and the interval's ends; `None` where nothing was claimed."""
        found = SAID.search(" ".join(self.words.split()))
        return None if found is None or found[2] is None else (float(found[1]), float(found[2]), float(found[3]))

    @property
    def undecided(self) -> bool:
        return self.code in (UNDECIDED[Outcome.INCONCLUSIVE], UNDECIDED[Outcome.NOT_MEASURED])


def rows(form: Form) -> Iterator[Row]:
    if form.demo_beside is None:
        return
    quiet = run(0)
    yield _quiet_row(quiet)
    yield _busy_row(run(form.demo_beside), quiet, form.demo_beside)


def run(programs: int) -> Demo:
    """The demo in a place of its own, on the core of so many busy programs where there are any."""
    command = [sys.executable, "manage.py", "demo"]
    if programs:
        command = ["taskset", "-c", CORE, *command]
    with tempfile.TemporaryDirectory() as var, busy(programs):
        start = time.monotonic()
        environment = {**os.environ, "LATHE_VAR_DIR": var}
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    return Demo(ended.returncode, ended.stdout + ended.stderr, time.monotonic() - start)


def _quiet_row(demo: Demo) -> Row:
    claim, bound = "`make demo` on the machine as it is", f"an interval of ± {NARROW * 100:.0f} % at most"
    if demo.speedup is None:
        return Row(claim, bound, _nothing(demo), None if demo.undecided else False)
    value, low, high = demo.speedup
    narrow = high / value <= 1 + NARROW and low / value >= 1 - NARROW
    return Row(claim, bound, f"{value:.2f} [{low:.2f}, {high:.2f}] in {demo.seconds:.0f} s", narrow)


def _busy_row(demo: Demo, quiet: Demo, programs: int) -> Row:
    claim = f"`make demo` on one core with {programs} busy programs"
    before = "18.3 [7.6, 25.2], in green"
    if quiet.speedup is None:
        return Row(claim, "the quiet ratio, or inconclusive", _nothing(demo), demo.undecided or None, before)
    truth = quiet.speedup[0]
    bound = f"{truth:.2f} ± {TOLERANCE * 100:.0f} % in the interval, or inconclusive"
    if demo.speedup is None:
        return Row(claim, bound, _nothing(demo), demo.undecided, before)
    value, low, high = demo.speedup
    covers = low <= truth * (1 + TOLERANCE) and high >= truth * (1 - TOLERANCE)
    return Row(claim, bound, f"{value:.2f} [{low:.2f}, {high:.2f}]", covers, before)


def _nothing(demo: Demo) -> str:
    last = demo.words.strip().splitlines()[-1:] or [""]
    return f"no speed claimed (exit status {demo.code}): {last[0]}"
