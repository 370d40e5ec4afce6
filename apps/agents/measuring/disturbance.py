"""Which timed runs contain only the model's own time, and which were disturbed by something else on the machine. Pure.

Wall clock time includes the time slices of other programs, and a run of 2 ms meets more of them than one of half a
millisecond. So the ratio of two medians grows with the load, even if the runs are interleaved. A disturbed run
therefore does not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Device, Target
from apps.agents.measuring.stopwatch import Integers, Runs

Mask = NDArray[np.bool_]

WAITING = 1.02
"""How many times its CPU time a run of one thread may take by wall clock."""
SLACK_NS = 5_000
"""Difference between wall and CPU time that comes from reading the two clocks one after the other."""
SHARE_KEPT = 0.95
"""The minimum ratio of CPU to wall time for a run of several threads, as a share of the ratio of undisturbed runs."""
REFERENCE_QUANTILE = 0.75
SWITCH_EVERY_NS = 20_000_000
"""A run of this length may lose its core once. The kernel's own work takes the core for some microseconds even on an
idle machine, and the wall clock shows what another program takes."""


def clean(runs: Runs, target: Target) -> Mask:
    """Which of one contender's runs count.

    Neither the run nor the one before it lost a core (its caches may be gone). In addition, the wall time of a single
    computing thread must equal its CPU time. For several threads, or one that waits by design (for a thread pool of the
    runtime, a file), CPU over wall time must not be lower than in the runs that kept their cores. On an accelerator, a
    run waits for the device.
    """
    kept = _kept_its_cores(runs, target.threads)
    if target.device is not Device.CPU or not len(runs):
        return kept
    wall, cpu = runs.wall_ns, runs.cpu_ns
    if not is_by_reference(runs, target):
        return kept & (wall <= WAITING * cpu + SLACK_NS)
    share = cpu / np.maximum(wall, 1)
    if not kept.any():
        return kept
    return kept & (share >= SHARE_KEPT * np.quantile(share[kept], REFERENCE_QUANTILE))


def is_by_reference(runs: Runs, target: Target) -> bool:
    """Whether CPU time does not show how long an undisturbed run takes: with several threads, or one that waits."""
    return target.device is Device.CPU and (target.threads > 1 or waits(runs))


def waits(runs: Runs) -> bool:
    """Whether most runs release their core voluntarily, as they do if another thread computes."""
    return bool(np.median(runs.voluntary) >= 1)


def _kept_its_cores(runs: Runs, threads: int) -> Mask:
    kept = runs.involuntary <= _allowed(runs.wall_ns, threads)
    before = np.concatenate([[True], kept[:-1]]) if len(kept) else kept
    return np.asarray(kept & before, dtype=np.bool_)


def _allowed(wall_ns: Integers, threads: int) -> Integers:
    return threads * (wall_ns // SWITCH_EVERY_NS)
