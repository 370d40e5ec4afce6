"""Waits, up to a limit, for a moment in which nothing else needs the cores.

One look at the machine is a quarter of a second of short probes: a loop that takes some milliseconds of one core, timed
by wall clock and CPU, with the kernel's count of interruptions. The machine is quiet if hardly any probe was disturbed,
every program that wants a core has one, and neither the host nor a CPU limit takes time away.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from apps.agents.contracts.reports.pressure import Pressure
from apps.agents.measuring.scheduling.pressure import pressure_between, read_pressure, runnable_programs

PROBES = 25
PROBE_S = 0.004
"""Longer than the scheduler can delay another program's wake-up, so the disturbance shows."""
REST_S = 0.006
LOOK_EVERY_S = 1.0
DISTURBED_SHARE = 0.1
"""Share of disturbed probes that is acceptable on a quiet machine."""
STEAL_SHARE = 0.05
WALL_OVER_CPU = 1.02
WALL_BEYOND_CPU_S = 2e-6
SHARE_OF_BUDGET = 0.1
"""Share of the time that the budget leaves each candidate."""

Look = Callable[[], str | None]
Disturbance = Literal["interrupted", "delayed"]


class Waits:
    """Receives what a measurement waits for. This one keeps it to itself."""

    def waiting(self, reason: str, waited_s: float, left_s: float) -> None:
        """It has waited for `waited_s` seconds because of `reason`, and waits for at most `left_s` seconds more."""

    def ended(self, waited_s: float) -> None:
        """It waits no more."""


@dataclass(frozen=True)
class Window:
    """The result of one look at the machine."""

    interrupted_share: float
    """Share of probes from which another program took the core."""
    delayed_share: float
    """Share of the others that took longer by wall clock than by CPU time: the host or an interrupt held them up."""
    others: int | None
    """Median number of other programs that ran or waited for a core."""
    pressure: Pressure

    @property
    def disturbed_share(self) -> float:
        return self.interrupted_share + self.delayed_share


def affordable_wait_s(most_s: float, budget_minutes: float, candidates: int) -> float:
    """Maximum seconds that a measurement may wait: the operator's limit, and a tenth of a candidate's share."""
    return min(most_s, SHARE_OF_BUDGET * budget_minutes * 60 / max(1, candidates))


def wait_for_quiet(
    limit_s: float,
    waits: Waits,
    *,
    threads: int = 1,
    look: Look | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> float:
    """Wait until the machine is quiet, at most `limit_s` seconds. Returns the seconds waited: 0 if it was quiet.

    `waits` receives the reason for waiting once a second, and the end. `threads` is how many cores the measurement will
    need.
    """
    look = look or (lambda: trouble(look_around(), threads))
    begin, waited_s = clock(), 0.0
    while waited_s < limit_s and (reason := look()) is not None:
        waited_s = clock() - begin
        left_s = max(0.0, limit_s - waited_s)
        message = f"Waiting for a quiet machine: {reason} ({waited_s:.0f} s of at most {limit_s:.0f})"
        waits.waiting(message, waited_s, left_s)
        sleep(min(LOOK_EVERY_S, left_s))
        waited_s = clock() - begin
    waited_s = min(limit_s, clock() - begin) if waited_s else 0.0
    waits.ended(waited_s)
    return waited_s


def trouble(window: Window, threads: int = 1, cores: int | None = None) -> str | None:
    """Why a measurement with `threads` threads would be disturbed, in words; `None` if it would not."""
    cores = cores or os.cpu_count() or 1
    others, steal = window.others, window.pressure.steal_share
    if others is not None and others + threads > cores:
        return "another program competes for the cores" if others == 1 else f"{others} programs compete for the cores"
    if window.pressure.throttled_periods:
        return "the CPU limit of its control group slows it down"
    if steal is not None and steal > STEAL_SHARE:
        return f"the host takes {steal * 100:.0f} % of the cores' time"
    if window.disturbed_share > DISTURBED_SHARE:
        others_do = window.interrupted_share >= window.delayed_share
        disturb = "other programs interrupted" if others_do else "the host or interrupts delayed"
        return f"{disturb} {window.disturbed_share * 100:.0f} % of the probes"
    return None


def look_around(probes: int = PROBES) -> Window:
    """Probe the current core for a quarter of a second."""
    disturbed, others = Counter[Disturbance | None](), []
    before = read_pressure()
    for _ in range(probes):
        disturbed[_disturbance_of_a_probe()] += 1
        running = runnable_programs()
        if running is not None:
            others.append(max(0, running - 1))
        time.sleep(REST_S)
    return Window(
        interrupted_share=disturbed["interrupted"] / probes,
        delayed_share=disturbed["delayed"] / probes,
        others=round(statistics.median(others)) if others else None,
        pressure=pressure_between(before, read_pressure()),
    )


def _disturbance_of_a_probe() -> Disturbance | None:
    """Use the core for a few milliseconds. Returns what took it meanwhile."""
    interrupted, start, cpu = _interruptions(), time.perf_counter(), time.thread_time()
    while time.thread_time() - cpu < PROBE_S:
        continue
    cpu_s = time.thread_time() - cpu
    wall_s = time.perf_counter() - start
    if _interruptions() > interrupted:
        return "interrupted"
    return "delayed" if wall_s > WALL_OVER_CPU * cpu_s + WALL_BEYOND_CPU_S else None


def _interruptions() -> int:
    """How often this thread had to give up its core, or the whole process if the system does not count by thread."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_nivcsw
