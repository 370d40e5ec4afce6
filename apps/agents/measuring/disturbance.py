"""Which timed runs are the model's own time, and which something else on the machine disturbed. Pure.

A wall clock holds the time slices of other programs, and a run of 2 ms meets more of them than one of half a
millisecond: the ratio of two medians grows with the load, however the runs are interleaved. So a run that was
disturbed does not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Device, Target
from apps.agents.measuring.stopwatch import Integers, Runs

Mask = NDArray[np.bool_]

WAITING = 1.02
"""How much longer than its CPU time a run of one thread may take by the wall clock."""
SLACK_NS = 5_000
"""What reading the clocks one after the other makes wall and CPU time differ by."""
SHARE_KEPT = 0.95
"""The least CPU time over wall that a run of several threads may have, as a part of what undisturbed runs have."""
REFERENCE_QUANTILE = 0.75
SWITCH_EVERY_NS = 20_000_000
"""A run this long may lose its core once: the kernel's own work takes it for some microseconds even where nothing else
runs, and what another program takes shows in the wall clock anyway."""


def clean(runs: Runs, target: Target) -> Mask:
    """Which of one contender's runs count.

    Neither the run nor the one before it lost a core (its caches may be gone). Beyond that, one thread that computes
    has a wall time of its CPU time; of several threads, or one that waits by design (for a pool of the runtime's, a
    file), CPU time over wall is not below what the runs that lost no core show. A run on an accelerator waits for that.
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
    """Whether CPU time does not tell how long an undisturbed run takes: of several threads, or of one that waits."""
    return target.device is Device.CPU and (target.threads > 1 or waits(runs))


def waits(runs: Runs) -> bool:
    """Whether most runs give their core away by themselves, as those do that another thread computes."""
    return bool(np.median(runs.voluntary) >= 1)


def _kept_its_cores(runs: Runs, threads: int) -> Mask:
    kept = runs.involuntary <= _allowed(runs.wall_ns, threads)
    before = np.concatenate([[True], kept[:-1]]) if len(kept) else kept
    return np.asarray(kept & before, dtype=np.bool_)


def _allowed(wall_ns: Integers, threads: int) -> Integers:
    return threads * (wall_ns // SWITCH_EVERY_NS)
