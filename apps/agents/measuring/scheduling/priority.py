"""Asks the scheduler not to interrupt the timed process, as far as the system permits.

From strongest to weakest: the real-time policy SCHED_FIFO at its lowest priority, which no ordinary program interrupts;
nice −10 with long slices; long slices alone, which need no privilege but help only against programs that never sleep.
Real-time and negative nice values need root, CAP_SYS_NICE, or the resource limits RLIMIT_RTPRIO and RLIMIT_NICE: see
sched(7). Slices (`sched_runtime` of an ordinary thread) need Linux 6.12 or newer, see
`include/uapi/linux/sched/types.h` there.

A thread under SCHED_FIFO starves others on its core, and the kernel intervenes: since Linux 6.12 its deadline server
gives ordinary programs a twentieth of every second, which appears as a gap of 50 ms in the timed run. So the timing
code keeps blocks to tens of milliseconds and sleeps for `REST_SHARE` of each block after it, when others can run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from apps.agents.measuring.machine import usable_cores

SCHED_OTHER, SCHED_FIFO = 0, 1
REAL_TIME = {SCHED_FIFO: "SCHED_FIFO", 2: "SCHED_RR", 6: "SCHED_DEADLINE"}
"""Policies that no ordinary thread interrupts."""
FIFO_PRIORITY = 1
"""The lowest priority: the kernel's own real-time threads, and any that an operator has set up, go first."""
NICE = -10
SLICE_NS = 100_000_000
"""The longest slice that Linux grants an ordinary thread."""
REST_SHARE = 1 / 6
"""Share of a block's length. Measured with 30 ms blocks beside two busy programs on the same core: with rests of 5 ms
no run was interrupted, with 3 ms one gap of 47 ms in 6 seconds, without rests one of 50 ms each second (Linux 6.18)."""
NOTHING = "nothing: the system does not permit it"

_SYSCALLS = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}
"""The numbers of `sched_setattr` and `sched_getattr`, which the C library does not wrap."""
_RESET_ON_FORK = 1


class _Attributes(ctypes.Structure):
    """`struct sched_attr` as of Linux 3.14, which all later kernels accept."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class Schedule:
    """How one thread is scheduled."""

    policy: int = SCHED_OTHER
    priority: int = 0
    """Priority of a real-time policy, from 1; 0 for every other policy."""
    nice: int = 0
    slice_ns: int = 0
    """Slice of an ordinary thread; 0 requests the kernel's default. Kernels before 6.12 always report 0."""
    reset_on_fork: bool = False

    @property
    def in_words(self) -> str:
        """How it differs from an ordinary thread."""
        if self.policy in REAL_TIME:
            return f"{REAL_TIME[self.policy]}, priority {self.priority}"
        words = [f"nice −{-self.nice}"] if self.nice <= NICE else []
        if self.slice_ns >= SLICE_NS:
            words.append(f"slices of {self.slice_ns // 1_000_000} ms")
        return ", ".join(words) or NOTHING


class Scheduler:
    """The kernel's calls, for threads of this process. `thread` 0 is the calling one."""

    def __init__(self, root: Path = Path("/")) -> None:
        """`proc` is read under `root`."""
        self._root = root
        self._numbers = _SYSCALLS.get(platform.machine()) if sys.platform == "linux" else None
        self._libc = ctypes.CDLL(None) if self._numbers else None

    def schedule(self, thread: int = 0) -> Schedule | None:
        """How `thread` is scheduled; `None` if the system does not report it."""
        attributes = _Attributes()
        size = ctypes.sizeof(attributes)
        if not self._call(1, thread, ctypes.byref(attributes), size, 0):
            return None
        return Schedule(
            policy=attributes.policy,
            priority=attributes.priority,
            nice=attributes.nice,
            slice_ns=0 if attributes.policy in REAL_TIME else attributes.runtime,
            reset_on_fork=bool(attributes.flags & _RESET_ON_FORK),
        )

    def set_schedule(self, schedule: Schedule, thread: int = 0) -> bool:
        """Apply `schedule`. Returns whether the system permits it."""
        attributes = _Attributes(
            size=ctypes.sizeof(_Attributes),
            policy=schedule.policy,
            flags=_RESET_ON_FORK if schedule.reset_on_fork else 0,
            nice=schedule.nice,
            priority=schedule.priority,
            runtime=schedule.slice_ns,
        )
        return self._call(0, thread, ctypes.byref(attributes), 0)

    def threads(self) -> frozenset[int]:
        """The ids of this process's threads."""
        try:
            return frozenset(int(name) for name in os.listdir(self._root / "proc/self/task"))
        except OSError:
            return frozenset()

    def is_throttled(self) -> bool:
        """Whether the kernel reserves a share of every core for ordinary programs, whatever real-time threads do."""
        try:
            return int((self._root / "proc/sys/kernel/sched_rt_runtime_us").read_text()) >= 0
        except (OSError, ValueError):
            return False

    def _call(self, which: int, *arguments: object) -> bool:
        if self._libc is None or self._numbers is None:
            return False
        return bool(self._libc.syscall(self._numbers[which], *arguments) == 0)


def ask_for_priority(threads: int = 1, scheduler: Scheduler | None = None) -> str:
    """Give the calling thread the highest priority that the system permits. Returns it in words; never raises.

    Threads that this one creates afterwards inherit it, so call this before a runtime creates its own. `threads` is how
    many will compute at once. If they would fill every core that this process may use, real time is requested only if
    the kernel reserves a share of the cores for ordinary programs.
    """
    scheduler = scheduler or Scheduler()
    before = scheduler.schedule()
    if before is None:
        return NOTHING
    if before.policy in REAL_TIME:  # An operator has already set this process's policy.
        return before.in_words
    real_time = replace(before, policy=SCHED_FIFO, priority=FIFO_PRIORITY, nice=0, slice_ns=0)
    leaves_room = threads < usable_cores() or scheduler.is_throttled()
    if leaves_room and scheduler.set_schedule(real_time):
        return _granted(scheduler)
    long_slices = replace(before, slice_ns=SLICE_NS)
    if not scheduler.set_schedule(replace(long_slices, nice=min(NICE, before.nice))):
        scheduler.set_schedule(long_slices)
    return _granted(scheduler)


@contextmanager
def priority(threads: int = 1, scheduler: Scheduler | None = None) -> Iterator[str]:
    """`ask_for_priority` for a block, which receives the words. Afterwards the calling thread and the threads that
    inherited the priority are scheduled as before. Threads that existed already are not changed."""
    scheduler = scheduler or Scheduler()
    before, others = scheduler.schedule(), scheduler.threads()
    words = ask_for_priority(threads, scheduler)
    granted = scheduler.schedule()
    try:
        yield words
    finally:
        if before is not None and granted != before:
            heirs = [one for one in scheduler.threads() - others if scheduler.schedule(one) == granted]
            for thread in (0, *heirs):
                scheduler.set_schedule(before, thread)


def _granted(scheduler: Scheduler) -> str:
    """Read back, because kernels before 6.12 accept a slice silently and ignore it."""
    now = scheduler.schedule()
    return NOTHING if now is None else now.in_words
