"""Who uses the cores between two moments: this process with all that it started, other programs, and the host."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass

import psutil

from apps.agents.measuring.scheduling.pressure import Reading, pressure_between, read_pressure

NAMED = 4
"""How many programs are named."""
WORTH_NAMING = 0.005
"""Cores that a program must have used to be named."""


@dataclass(frozen=True)
class Moment:
    """The CPU time that each process has used until now."""

    reading: Reading
    cpu_s: dict[tuple[int, str, bool], float]
    """By process id, name, and whether it is this process or one of its descendants."""

    @classmethod
    def now(cls) -> Moment:
        own = {psutil.Process().pid, *(child.pid for child in psutil.Process().children(recursive=True))}
        used: dict[tuple[int, str, bool], float] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used[process.pid, process.name(), process.pid in own] = times.user + times.system
        return cls(read_pressure(), used)


def told(before: Moment, after: Moment) -> str:
    """How many cores each side used, in words. Processes that ended in between are not seen."""
    pressure = pressure_between(before.reading, after.reading)
    cores: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for (pid, name, own), cpu_s in after.cpu_s.items():
        cores[own][name] += (cpu_s - before.cpu_s.get((pid, name, own), 0.0)) / max(pressure.seconds, 0.001)
    steal = "unknown" if pressure.steal_share is None else f"{pressure.steal_share:.1%}"
    return (
        f"in {pressure.seconds:.0f} s own {_named(cores[True])}; others {_named(cores[False])}; the host took {steal}"
    )


def _named(cores: Counter[str]) -> str:
    named = ", ".join(f"{name} {used:.2f}" for name, used in cores.most_common(NAMED) if used >= WORTH_NAMING)
    return f"{cores.total():.2f} cores" + (f" ({named})" if named else "")
