"""The time of each module: forward hooks around every module, medians over several runs.

A module's time excludes its inner modules: attention's time is that of its products. The time in the model itself
belongs to no layer, but to the whole, of which shares are computed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from apps.agents.analysis.engine import LayerTime
from apps.agents.backends.torch.anatomy import Anatomy
from apps.agents.backends.torch.engine import device_of, use_threads
from apps.agents.backends.torch.module_hooks import hooked
from apps.agents.backends.torch.placing import place
from apps.agents.contracts.criteria import Device, Target
from apps.agents.measuring.engine import Feeds
from apps.agents.measuring.operator_times import OperatorTimes, TimedOperator

WARMUP_RUNS = 3
RUNS = 10


def times(anatomy: Anatomy, feeds: Feeds, target: Target, *, runs: int = RUNS) -> Mapping[str, LayerTime]:
    """Milliseconds of each module that was called in one run, and its share of the whole run."""
    device = device_of(target)
    use_threads(target.threads)
    now = clock_of(target.device)
    modules = [(module.name, module.module) for module in anatomy.modules]
    warmup = min(WARMUP_RUNS, runs)  # A model with few timed runs is slow.
    samples: list[dict[str, float]] = []
    wholes: list[float] = []
    with _placed(anatomy, device):
        for _ in range(warmup + runs):
            watch = _Watch(now)
            with hooked(modules, watch.enter, watch.leave):
                start = now()
                anatomy.model.run(feeds, device)
                wholes.append(now() - start)
            samples.append(watch.own_s)
    samples, whole = samples[warmup:], statistics.median(wholes[warmup:])
    medians = {name: statistics.median(sample.get(name, 0.0) for sample in samples) for name in samples[0]}
    return {name: LayerTime(seconds * 1000, min(1.0, seconds / whole)) for name, seconds in medians.items()}


def operator_times(anatomy: Anatomy, feeds: Feeds, target: Target, *, runs: int) -> OperatorTimes:
    """The same as operators: each module with its name and class."""
    found, types = times(anatomy, feeds, target, runs=runs), {part.name: part.op_type for part in anatomy.modules}
    return tuple(TimedOperator(name, types.get(name, name), one.time_ms) for name, one in found.items())


def clock_of(device: Device) -> Callable[[], float]:
    """Seconds; on an accelerator, after all its queued work is done."""
    if device is Device.CPU:
        return time.perf_counter

    def synchronized() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronized


@contextmanager
def _placed(anatomy: Anatomy, device: str) -> Iterator[None]:
    place(anatomy.model.module, device)
    try:
        yield
    finally:
        place(anatomy.model.module, "cpu")


class _Watch:
    """Seconds of each module in one run, without the time of its inner modules."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: list[tuple[float, float]] = []
        """When each running module began, and how long its inner modules have taken."""
        self.own_s: dict[str, float] = {}

    def enter(self, name: str) -> None:
        self._open.append((self._now(), 0.0))

    def leave(self, name: str) -> None:
        began, inside = self._open.pop()
        taken = self._now() - began
        self.own_s[name] = self.own_s.get(name, 0.0) + taken - inside
        if self._open:
            start, before = self._open[-1]
            self._open[-1] = start, before + taken
