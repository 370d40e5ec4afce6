"""Times several models in turn, in interleaved blocks.

Each round times a block of runs of every contender, in a newly drawn order, so that a slow period of the machine
affects all of them alike (Laaber et al., Empirical Software Engineering 24 (2019); Kalibera and Jones, "Rigorous
benchmarking in reasonable time", ISMM 2013). Between blocks there is a pause in which other programs that wait for the
core can run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from apps.agents.contracts.criteria import Target
from apps.agents.measuring.effort import FEWEST_ROUNDS, Effort, Watcher
from apps.agents.measuring.record import ORIGINAL, Record, record_of
from apps.agents.measuring.scheduling.pressure import pressure_between, read_pressure
from apps.agents.measuring.stopwatch import Run, Runs, Stopwatch, no_garbage_collection, time_runs

Enough = Callable[[Record], bool]
"""Called after some rounds: whether more would change anything that matters."""

Favour = Callable[[], AbstractContextManager[str | None]]
"""A context in which the scheduler favours this process. Its value describes what was granted."""

ROUNDS_BETWEEN_LOOKS = 4
LONGEST_PAUSE_S = 0.2
SETTLING_FROM_RUNS = 4
"""Blocks of at least this many runs start with one untimed run, because the caches held another model's weights."""
OVERTIME = 3.0
"""How many budgets the minimum number of rounds may take."""
SLOW_BLOCKS = 10
"""A contender that is far slower than the original gets fewer runs once its block has taken this many blocks' time."""


@dataclass(frozen=True)
class WarmUp:
    runs: int
    typical_ms: float
    """The 0.1 quantile of the later half. Blocks are planned with it, however busy the machine is."""


def warm_up(run: Run, effort: Effort, stopwatch: Stopwatch) -> WarmUp:
    """Run until caches and clocks have settled."""
    times: list[float] = []
    start = stopwatch.now_ns()
    while True:
        times.extend(time_runs(run, 1, stopwatch).wall_ms.tolist())
        elapsed_s = (stopwatch.now_ns() - start) / 1e9
        if elapsed_s >= 5 * effort.warmup_s:
            break
        if len(times) >= effort.warmup_runs and elapsed_s >= effort.warmup_s:
            break
    return WarmUp(len(times), float(np.quantile(times[len(times) // 2 :], 0.1)))


@dataclass(frozen=True)
class Block:
    """The structure of a block: `count` units of `repeat` runs."""

    count: int
    repeat: int

    @classmethod
    def fitting(cls, typical_ms: float, effort: Effort) -> Block:
        if typical_ms <= 0:
            return cls(effort.runs_per_block_maximum, 1)
        repeat = max(1, round(effort.unit_s * 1e3 / typical_ms))
        fitting = int(effort.block_s * 1e3 / (typical_ms * repeat))
        return cls(max(1, min(effort.runs_per_block_maximum, fitting)), repeat)

    def time(self, run: Run, effort: Effort, stopwatch: Stopwatch) -> Runs:
        """Time one block, then pause."""
        start = stopwatch.now_ns()
        if self.count >= SETTLING_FROM_RUNS:
            run()
        timed = time_runs(run, self.count, stopwatch, repeat=self.repeat, limit_s=SLOW_BLOCKS * effort.block_s)
        stopwatch.pause(min(LONGEST_PAUSE_S, effort.pause * (stopwatch.now_ns() - start) / 1e9))
        return timed


def take_turns(
    contenders: Mapping[str, Run],
    target: Target,
    *,
    seed: int,
    effort: Effort,
    enough: Enough,
    stopwatch: Stopwatch,
    watcher: Watcher | None = None,
    favour: Favour = nullcontext,
) -> Record:
    """Warm up all `contenders` and time them in rounds, until `enough` returns true, the maximum number of rounds is
    reached or the budget ends. There are at least `FEWEST_ROUNDS`, unless they take more than `OVERTIME` budgets.

    `favour` applies while timing, after the warm-up.
    """
    order = np.random.default_rng(seed)
    names = list(contenders)
    warm = {name: warm_up(contenders[name], effort, stopwatch) for name in _shuffled(names, order)}
    block = Block.fitting(warm[ORIGINAL].typical_ms, effort)
    blocks: dict[str, list[Runs]] = {name: [] for name in names}

    def record() -> Record:
        fewest = min(one.runs for one in warm.values())
        return record_of(blocks, target, runs_per_block=block.count * block.repeat, warmup_runs=fewest)

    before = read_pressure()
    start = stopwatch.now_ns()
    with no_garbage_collection(), favour() as granted:
        for count in range(1, effort.rounds_maximum + 1):
            for name in _shuffled(names, order):
                blocks[name].append(block.time(contenders[name], effort, stopwatch))
            elapsed_s = (stopwatch.now_ns() - start) / 1e9
            if watcher:
                watcher(*_progress(count, elapsed_s, effort))
            if elapsed_s >= effort.budget_s and (count >= FEWEST_ROUNDS or elapsed_s >= OVERTIME * effort.budget_s):
                break
            looking = count >= effort.rounds_minimum and (count - effort.rounds_minimum) % ROUNDS_BETWEEN_LOOKS == 0
            if looking and enough(record()):
                break
    pressure = pressure_between(before, read_pressure())
    found = {"priority": granted or "", "pressure": pressure, "timed_by": stopwatch.describe()}
    return record().model_copy(update=found)


def _shuffled(names: list[str], order: np.random.Generator) -> list[str]:
    return [names[index] for index in order.permutation(len(names))]


def _progress(rounds: int, elapsed_s: float, effort: Effort) -> tuple[float, float]:
    """Share done and seconds left, by whichever of rounds and time ends first."""
    fraction = min(1.0, max(rounds / effort.rounds_maximum, elapsed_s / effort.budget_s))
    return fraction, elapsed_s * (1 - fraction) / fraction
