"""Whether verdicts stay true beside busy programs: each works 4 ms and sleeps 2 ms on the core that is timed on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.measuring.effort import Effort, Question
from benchmarks.timing_under_load import CORE, TOLERANCE, busy, is_true
from benchmarks.truth.bad import together
from benchmarks.truth.bad_models import bad_models
from benchmarks.truth.form import Form
from benchmarks.truth.material import Material
from benchmarks.truth.rows import Row
from benchmarks.truth.session import Bench

EFFORT = Effort(budget_s=10.0)
CLAIMED = "13.9 (wall-clock median)"
"""What a plain median said of a true 4.1 beside four such programs."""
CALLED = "called 94 to 190 times faster"


def rows(form: Form, large: Material, small: Material) -> Iterator[Row]:
    """`large` is the model whose plain medians go wrong most; `small` has sessions of its own."""
    if not form.busy:
        return
    for model in (large, small):
        _ = model.int8  # Made while the machine is as it was.
    bad = bad_models(small)
    with on_one_core():
        quiet: LatencyComparison | None = None
        for programs in form.busy:
            with busy(programs):
                for privileged in (True, False) if programs else (True,):
                    found = timed(large, privileged=privileged)
                    quiet = quiet or found
                    yield row_of(large, programs, found, quiet, privileged=privileged)
                if programs:
                    whose = f"{small.name} beside {programs} busy programs"
                    yield from together(Bench(small), bad, form.seeds, whose, CALLED)


def timed(material: Material, *, privileged: bool) -> LatencyComparison:
    timer = material.timer(material.int8, replace(EFFORT, priority=privileged))
    return timer.compare(material.dataset(0).first(1), Target(), Question(seed=1))


def row_of(
    material: Material, programs: int, found: LatencyComparison, quiet: LatencyComparison, *, privileged: bool
) -> Row:
    """True where the interval comes within the quiet ratio, give or take what that moves by itself, or where nothing is
    claimed."""
    asking = "" if privileged else ", without any priority"
    claim = f"{material.name} against its int8 form beside {programs} busy programs{asking}: what is claimed is true"
    about = f"{quiet.speedup.value:.2f} ± {TOLERANCE * 100:.0f} % in the interval, or inconclusive"
    if quiet.busy:
        return Row(claim, about, "the machine was never quiet enough to know what is true", None, CLAIMED)
    told = f"{found.speedup.value:.2f} [{found.speedup.low or 0:.2f}, {found.speedup.high or 0:.2f}]"
    if found.busy:
        told = f"inconclusive: too busy ({found.disturbed:,} of {found.runs:,} runs disturbed)"
    return Row(claim, about, told, is_true(found, quiet), CLAIMED if programs else "")


@contextmanager
def on_one_core() -> Iterator[None]:
    """This process and all it starts on the core that the busy programs share."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(CORE)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
