"""Pressure, steal and throttling, read from the kernel's files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.agents.contracts.reports.pressure import Pressure
from apps.agents.measuring.scheduling.pressure import pressure_between, read_pressure, runnable_programs

CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
FIRST_CORE, OTHER_CORE = min(CORES), max(CORES) + 1
PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def at(seconds: float) -> Callable[[], float]:
    return lambda: seconds


def stat(busy: int, steal: int) -> str:
    """Books of a core of ours and of one that this process may not use, which must not count."""
    core = f"{busy} 0 0 100 0 0 0 {steal} 0 0"
    return f"cpu  1 1 1 1 1 1 1 1 1 1\ncpu{FIRST_CORE} {core}\ncpu{OTHER_CORE} 0 0 0 0 0 0 0 9999 0 0\nintr 5\n"


@pytest.mark.skipif(sys.platform != "linux", reason="which cores are ours is known on Linux alone")
def test_all_that_the_kernel_tells(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/system.slice/lathe"
    write(
        tmp_path,
        {
            "proc/pressure/cpu": PSI.format(1_000_000),
            "proc/self/cgroup": "0::/system.slice/lathe\n",
            f"{group}/cpu.pressure": PSI.format(500_000),
            f"{group}/cpu.stat": "usage_usec 7\nnr_periods 9\nnr_throttled 4\nthrottled_usec 100\n",
            "proc/stat": stat(busy=0, steal=10),
            "proc/loadavg": "1.50 1.00 0.50 3/200 4321\n",
        },
    )
    before = read_pressure(tmp_path, at(10.0))
    write(
        tmp_path,
        {
            "proc/pressure/cpu": PSI.format(2_000_000),
            f"{group}/cpu.pressure": PSI.format(700_000),
            f"{group}/cpu.stat": "nr_periods 19\nnr_throttled 6\n",
            "proc/stat": stat(busy=80, steal=30),
            "proc/loadavg": "2.50 1.00 0.50 3/200 4321\n",
        },
    )
    assert pressure_between(before, read_pressure(tmp_path, at(12.0))) == Pressure(
        seconds=2.0, waiting_share=0.5, group_waiting_share=0.1, steal_share=0.2, throttled_periods=2, load=2.5
    )
    assert runnable_programs(tmp_path) == 3


def test_what_is_not_told_stays_unknown(tmp_path: Path) -> None:
    nothing = read_pressure(tmp_path, at(0.0))
    assert pressure_between(nothing, read_pressure(tmp_path, at(1.0))) == Pressure(seconds=1.0)
    assert runnable_programs(tmp_path) is None


@pytest.mark.parametrize(
    ("cgroup", "books"),
    [
        ("0::/\n", "sys/fs/cgroup/cpu.stat"),  # a container with a namespace of its own
        ("0::/docker/1f2e\n", "sys/fs/cgroup/cpu.stat"),  # the path is the host's
        ("4:cpu,cpuacct:/lathe\n0::/\n", "sys/fs/cgroup/cpu,cpuacct/lathe/cpu.stat"),  # version 1
        ("1:cpu:/docker/1f2e\n", "sys/fs/cgroup/cpu/cpu.stat"),
    ],
)
def test_the_books_of_the_control_group_are_found(tmp_path: Path, cgroup: str, books: str) -> None:
    write(tmp_path, {"proc/self/cgroup": cgroup, books: "nr_periods 3\nnr_throttled 2\n"})
    assert read_pressure(tmp_path).throttled_periods == 2


def test_this_machine_is_read() -> None:
    before = read_pressure()
    after = read_pressure()
    assert pressure_between(before, after).seconds > 0
    if Path("/proc/loadavg").exists():
        assert (runnable_programs() or 0) >= 1
        assert after.load is not None
