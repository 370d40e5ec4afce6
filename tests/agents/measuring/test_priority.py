"""What is asked of the scheduler, in which order, and that it is given back."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from apps.agents.measuring.machine import usable_cores
from apps.agents.measuring.scheduling.priority import (
    NOTHING,
    SCHED_FIFO,
    Schedule,
    Scheduler,
    ask_for_priority,
    priority,
)

PLAIN = Schedule(slice_ns=2_800_000)
root_on_linux = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="takes root on Linux, to give privileges up"
)


@dataclass
class Permitting(Scheduler):
    """A system that permits what its rule says."""

    permits: Callable[[Schedule], bool]
    now: Schedule = PLAIN
    throttled: bool = True
    keeps_slices: bool = True
    asked: list[Schedule] = field(default_factory=list)

    def schedule(self, thread: int = 0) -> Schedule:
        return self.now

    def set_schedule(self, schedule: Schedule, thread: int = 0) -> bool:
        self.asked.append(schedule)
        if not self.permits(schedule):
            return False
        self.now = schedule if self.keeps_slices else replace(schedule, slice_ns=0)
        return True

    def threads(self) -> frozenset[int]:
        return frozenset()

    def is_throttled(self) -> bool:
        return self.throttled


def no_real_time(schedule: Schedule) -> bool:
    return schedule.policy != SCHED_FIFO


def unprivileged(schedule: Schedule) -> bool:
    return schedule.policy != SCHED_FIFO and schedule.nice >= 0


@pytest.mark.parametrize(
    ("system", "granted"),
    [
        (Permitting(lambda _: True), "SCHED_FIFO, priority 1"),
        (Permitting(no_real_time), "nice −10, slices of 100 ms"),
        (Permitting(unprivileged), "slices of 100 ms"),
        (Permitting(no_real_time, keeps_slices=False), "nice −10"),
        (Permitting(unprivileged, keeps_slices=False), NOTHING),
        (Permitting(lambda _: False), NOTHING),
        (Permitting(lambda _: False, now=Schedule(policy=SCHED_FIFO, priority=7)), "SCHED_FIFO, priority 7"),
        (Permitting(no_real_time, now=Schedule(nice=-15)), "nice −15, slices of 100 ms"),
    ],
)
def test_the_best_that_is_permitted_is_taken_and_named(system: Permitting, granted: str) -> None:
    assert ask_for_priority(1, system) == granted


def test_as_many_threads_as_cores_get_real_time_only_where_the_kernel_throttles_it() -> None:
    cores = usable_cores()
    assert ask_for_priority(cores, Permitting(lambda _: True, throttled=True)) == "SCHED_FIFO, priority 1"
    free = Permitting(lambda _: True, throttled=False)
    assert ask_for_priority(cores, free) == "nice −10, slices of 100 ms"
    assert all(schedule.policy != SCHED_FIFO for schedule in free.asked)


@pytest.mark.parametrize(("setting", "throttled"), [("950000\n", True), ("0\n", True), ("-1\n", False), (None, False)])
def test_throttling_is_read_from_the_kernel(tmp_path: Path, setting: str | None, throttled: bool) -> None:
    if setting is not None:
        file = tmp_path / "proc/sys/kernel/sched_rt_runtime_us"
        file.parent.mkdir(parents=True)
        file.write_text(setting)
    assert Scheduler(tmp_path).is_throttled() is throttled


def test_a_system_without_these_calls_grants_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.agents.measuring.scheduling.priority.sys.platform", "darwin")
    with priority() as granted:
        assert granted == NOTHING


def test_what_is_granted_is_real_inherited_and_given_back() -> None:
    scheduler = Scheduler()
    before = scheduler.schedule()
    release, started, made = threading.Event(), threading.Event(), []

    def work() -> None:
        made.append(threading.get_native_id())
        started.set()
        release.wait(10)

    with priority() as granted:
        inside = scheduler.schedule()
        thread = threading.Thread(target=work)
        thread.start()
        started.wait(10)
        assert scheduler.schedule(made[0]) == inside
    try:
        assert inside is None or inside.in_words == granted
        assert scheduler.schedule() == before
        assert scheduler.schedule(made[0]) == before
    finally:
        release.set()
        thread.join()


@root_on_linux
def test_an_ordinary_user_gets_real_time_by_the_limit_that_compose_gives() -> None:
    if resource.getrlimit(resource.RLIMIT_RTPRIO)[1] == 0 and not may_raise_limits():
        pytest.skip("this root may not raise limits")
    assert granted_to_nobody(rtprio=1) == "SCHED_FIFO, priority 1"


@root_on_linux
def test_an_ordinary_user_without_any_limit_gets_no_real_time() -> None:
    assert granted_to_nobody(rtprio=0) in ("slices of 100 ms", NOTHING)


PROGRAM = """
import os, resource, sys
sys.stdout.reconfigure(encoding="utf-8")
sys.path.insert(0, sys.argv[1])
from apps.agents.measuring.scheduling.priority import ask_for_priority
resource.setrlimit(resource.RLIMIT_RTPRIO, (int(sys.argv[2]),) * 2)
resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
os.setgid(65534)
os.setuid(65534)
print(ask_for_priority())
"""


def may_raise_limits() -> bool:
    """Whether this process has CAP_SYS_RESOURCE, which root lacks in most containers."""
    effective = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return effective is not None and bool(int(effective[1], 16) >> 24 & 1)


def granted_to_nobody(*, rtprio: int) -> str:
    """What a process of an ordinary user is granted under this limit on real-time priorities."""
    here = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", PROGRAM, here, str(rtprio)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
