"""How much of the cores other programs, the control group's limit and the host take, from the kernel's counters.

Pressure stall information (PSI, `Documentation/accounting/psi.rst` of Linux) gives the share of the time in which some
program waited for a core. `/proc/stat` gives the time that the host took (steal). `cpu.stat` of the control group gives
how often its CPU limit stopped it. What the system does not report is `None`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.agents.contracts.reports.pressure import Pressure

_GROUPS = "sys/fs/cgroup"


@dataclass(frozen=True)
class Reading:
    """The kernel's counters at one moment. They only increase."""

    at_s: float
    waiting_us: int | None
    group_waiting_us: int | None
    steal_ticks: int | None
    ticks: int | None
    throttled_periods: int | None
    load: float | None


def read_pressure(root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> Reading:
    """The current counters. `proc` and `sys` are read under `root`."""
    steal, ticks = _stolen(_read(root / "proc/stat"))
    load = _read(root / "proc/loadavg").split()
    return Reading(
        at_s=clock(),
        waiting_us=_some_us(_read(root / "proc/pressure/cpu")),
        group_waiting_us=_first(_some_us(_read(folder / "cpu.pressure")) for folder in _group_folders(root)),
        steal_ticks=steal,
        ticks=ticks,
        throttled_periods=_first(_throttled(_read(folder / "cpu.stat")) for folder in _group_folders(root)),
        load=float(load[0]) if load else None,
    )


def pressure_between(before: Reading, after: Reading) -> Pressure:
    """The change from one reading to the next."""
    seconds = after.at_s - before.at_s
    ticks = _grown(before.ticks, after.ticks)
    return Pressure(
        seconds=seconds,
        waiting_share=_share(_grown(before.waiting_us, after.waiting_us), seconds * 1e6),
        group_waiting_share=_share(_grown(before.group_waiting_us, after.group_waiting_us), seconds * 1e6),
        steal_share=_share(_grown(before.steal_ticks, after.steal_ticks), ticks or 0),
        throttled_periods=_grown(before.throttled_periods, after.throttled_periods),
        load=after.load,
    )


def runnable_programs(root: Path = Path("/")) -> int | None:
    """How many threads of the whole machine are running or waiting for a core, including the calling one."""
    match = re.search(r" (\d+)/\d+ ", _read(root / "proc/loadavg"))
    return int(match[1]) if match else None


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _share(part: int | None, whole: float) -> float | None:
    return None if part is None or whole <= 0 else min(1.0, part / whole)


def _some_us(text: str) -> int | None:
    """The total of PSI's `some` line, in microseconds."""
    match = re.search(r"^some .*total=(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None


def _throttled(text: str) -> int | None:
    match = re.search(r"^nr_throttled (\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None


def _stolen(text: str) -> tuple[int | None, int | None]:
    """Ticks that the host took, and all ticks, of the cores that this process may use.

    A line contains user, nice, system, idle, iowait, irq, softirq and steal. The columns after that are already counted
    in user.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    steal = total = 0
    for core, numbers in re.findall(r"^cpu(\d+) ([\d ]+)$", text, re.MULTILINE):
        ticks = [int(number) for number in numbers.split()[:8]]
        if len(ticks) == 8 and (cores is None or int(core) in cores):
            steal += ticks[7]
            total += sum(ticks)
    return (steal, total) if total else (None, None)


def _group_folders(root: Path) -> Iterator[Path]:
    """The folders of this process's control group: by its path or, in a container, at the top.

    In version 2 all controllers share one tree; in version 1 `cpu` has its own folder.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            trees = [root / _GROUPS, root / _GROUPS / "unified"]
        elif "cpu" in controllers.split(","):
            trees = [root / _GROUPS / controllers, root / _GROUPS / "cpu"]
        else:
            continue
        for tree in trees:
            yield tree / path.lstrip("/")
            yield tree


def _first(found: Iterator[int | None]) -> int | None:
    return next((number for number in found if number is not None), None)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
