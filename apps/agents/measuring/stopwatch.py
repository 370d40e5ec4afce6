"""Times single runs: wall clock, CPU time of all threads, and how often the scheduler took the core away."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Device, Target
from apps.agents.measuring import nvidia

Run = Callable[[], object]
"""One inference."""
Clock = Callable[[], int]
"""Nanoseconds of a monotonic clock."""
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

NANOSECONDS_PER_MS = 1e6


@dataclass(frozen=True)
class Reading:
    """One timed unit: `repeat` inferences, one after the other."""

    wall_ns: int
    cpu_ns: int
    """Sum over all threads of the process."""
    involuntary: int = 0
    """How often the scheduler took a core from this process while it was computing."""
    voluntary: int = 0
    """How often a thread waited voluntarily: for another thread, a device or a file."""


class Stopwatch(Protocol):
    def now_ns(self) -> int: ...

    def time(self, run: Run, repeat: int) -> Reading:
        """Make `repeat` inferences and read all clocks around them."""
        ...

    def pause(self, seconds: float) -> None: ...

    def describe(self) -> str:
        """What it reads, in words, if that is not the host's wall clock."""
        ...


@runtime_checkable
class OwnClock(Protocol):
    """An engine whose device has its own clock."""

    def stopwatch(self, target: Target) -> Stopwatch | None: ...


def stopwatch_for(engines: Iterable[object], target: Target) -> Stopwatch:
    """The devices' clock if all `engines` have one; otherwise the host's, which stops when the outputs are ready."""
    found = [engine.stopwatch(target) if isinstance(engine, OwnClock) else None for engine in engines]
    own = [stopwatch for stopwatch in found if stopwatch is not None]
    if own and len(own) == len(found):
        return own[0]
    return SystemStopwatch() if target.device is Device.CPU else HostStopwatch()


class SystemStopwatch:
    """The clocks of this process."""

    def now_ns(self) -> int:
        return time.perf_counter_ns()

    def time(self, run: Run, repeat: int) -> Reading:
        before = resource.getrusage(resource.RUSAGE_SELF)
        cpu = time.process_time_ns()
        start = time.perf_counter_ns()
        for _ in range(repeat):
            run()
        wall_ns = time.perf_counter_ns() - start
        cpu_ns = time.process_time_ns() - cpu
        after = resource.getrusage(resource.RUSAGE_SELF)
        return Reading(wall_ns, cpu_ns, after.ru_nivcsw - before.ru_nivcsw, after.ru_nvcsw - before.ru_nvcsw)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def describe(self) -> str:
        return ""


class HostStopwatch(SystemStopwatch):
    """The same clocks for work on a device: a run ends once its outputs are back on the host."""

    def describe(self) -> str:
        devices = nvidia.devices()
        return f"the host's clock; {nvidia.clocks(devices[0].uuid) if devices else 'clock rates unknown'}"


@dataclass(frozen=True)
class WallStopwatch:
    """Uses one clock for everything, so that every run counts: for a test's own clock."""

    clock: Clock

    def now_ns(self) -> int:
        return self.clock()

    def time(self, run: Run, repeat: int) -> Reading:
        start = self.clock()
        for _ in range(repeat):
            run()
        wall_ns = self.clock() - start
        return Reading(wall_ns, wall_ns)

    def pause(self, seconds: float) -> None:
        """Does nothing: no other program competes under such a clock."""

    def describe(self) -> str:
        return ""


@dataclass(frozen=True)
class Runs:
    """Timed units in the order in which they were made, each of `repeat` inferences."""

    readings: Sequence[Reading]
    repeat: int = 1

    def __len__(self) -> int:
        return len(self.readings)

    @property
    def wall_ns(self) -> Integers:
        return np.array([one.wall_ns for one in self.readings], dtype=np.int64)

    @property
    def cpu_ns(self) -> Integers:
        return np.array([one.cpu_ns for one in self.readings], dtype=np.int64)

    @property
    def involuntary(self) -> Integers:
        return np.array([one.involuntary for one in self.readings], dtype=np.int64)

    @property
    def voluntary(self) -> Integers:
        return np.array([one.voluntary for one in self.readings], dtype=np.int64)

    @property
    def wall_ms(self) -> Floats:
        """Milliseconds per inference."""
        return self.wall_ns / (NANOSECONDS_PER_MS * self.repeat)

    @property
    def cpu_ms(self) -> Floats:
        return self.cpu_ns / (NANOSECONDS_PER_MS * self.repeat)


def time_runs(
    run: Run, count: int, stopwatch: Stopwatch, *, repeat: int = 1, limit_s: float = float("inf"), minimum: int = 1
) -> Runs:
    """Time `count` units of `run`, each alone; fewer, but at least `minimum`, once `limit_s` has passed."""
    readings: list[Reading] = []
    deadline_ns = stopwatch.now_ns() + limit_s * 1e9
    for _ in range(count):
        readings.append(stopwatch.time(run, repeat))
        if len(readings) >= minimum and stopwatch.now_ns() > deadline_ns:
            break
    return Runs(tuple(readings), repeat)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect garbage now, then not until the end: a collection inside a timed run is not the model's time."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
