"""Times original and candidate in turns at every batch size and number of threads of a grid, in one process.

Each cell gets a small share of the time, and both models take turns within it, so that a slow moment of the machine
affects both. A cell shows medians without intervals: it is a survey, and the verdict rests on the evaluation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.speed_matrix import CellSpeed, MatrixCell, SpeedGrid
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import Engine, Feeds
from apps.agents.measuring.interleaving import take_turns
from apps.agents.measuring.record import Record
from apps.agents.measuring.stopwatch import Run, stopwatch_for
from apps.errors import UserError

CELL = Effort(warmup_runs=2, warmup_s=0.05, budget_s=1.5, rounds_minimum=5, rounds_maximum=30, priority=False)
"""What one cell takes at most, unless the model is slower than that."""
LONGEST_S = 180.0
"""Cells that would begin later are skipped."""
TOO_LATE = f"The time of {LONGEST_S:.0f} s was used up before this cell."
FIXED = "The model was exported with a batch size of {fixed}."
TOO_FEW_CORES = "The machine that measured has {cores} core{s}."
TOO_LARGE = "A batch of this size takes more memory than Lathe gives one batch."
Tell = Callable[[float, str, float | None], None]
"""Receives the share that is done, what is being done, and the seconds that are left."""


@dataclass(frozen=True)
class Surveyor:
    """Measures a grid. `feeds_of` gives a batch of that size; `fixed` is the batch size of a model with a fixed one."""

    engines: Mapping[str, Engine]
    """`ORIGINAL` and, unless it is measured alone, `CANDIDATE`."""
    target: Target
    feeds_of: Callable[[int], Feeds]
    fixed: int | None
    most_examples: int
    """The largest batch whose examples fit into the memory that Lathe gives one batch."""
    cores: int
    seed: int
    effort: Effort = CELL
    clock: Callable[[], float] = time.monotonic

    def cells(self, grid: SpeedGrid, tell: Tell) -> Iterator[MatrixCell]:
        """Every cell, batch by batch."""
        start, threads = self.clock(), threads_of(grid, self.cores)
        places = [(batch_size, number) for batch_size in grid.batch_sizes for number in threads]
        for done, (batch_size, number) in enumerate(places):
            spent_s = self.clock() - start
            left_s = spent_s / done * (len(places) - done) if done else None
            tell(done / len(places), f"Timing batch {batch_size} with {number} thread{'s' * (number != 1)}", left_s)
            cell = MatrixCell(batch_size=batch_size, threads=number)
            why = self._why_not(batch_size, number) or (TOO_LATE if spent_s > LONGEST_S else None)
            yield cell.model_copy(update={"skipped": why} if why else self._measured(batch_size, number))

    def _why_not(self, batch_size: int, threads: int) -> str | None:
        if self.fixed is not None and batch_size != self.fixed:
            return FIXED.format(fixed=self.fixed)
        if threads > self.cores:
            return TOO_FEW_CORES.format(cores=self.cores, s="s" * (self.cores != 1))
        if batch_size > self.most_examples:
            return TOO_LARGE
        return None

    def _measured(self, batch_size: int, threads: int) -> dict[str, CellSpeed | str]:
        """The fields of a cell: both speeds, or why the runtime refuses, such as one that keeps its first threads."""
        try:
            return dict(self._speeds(batch_size, threads))
        except UserError as error:
            return {"skipped": error.message}

    def _speeds(self, batch_size: int, threads: int) -> dict[str, CellSpeed]:
        target = self.target.model_copy(update={"batch_size": batch_size, "threads": threads})
        feeds = self.feeds_of(batch_size)
        runs: dict[str, Run] = {name: partial(engine.session(target), feeds) for name, engine in self.engines.items()}
        record = take_turns(
            runs,
            target,
            seed=self.seed,
            effort=self.effort,
            enough=lambda record: True,
            stopwatch=stopwatch_for(self.engines.values(), target),
        )
        return {name: _speed(record, name, batch_size) for name in self.engines}


def _speed(record: Record, name: str, batch_size: int) -> CellSpeed:
    """The median of the undisturbed runs, or of all if other programs disturbed most of them."""
    series = record.series[name]
    times = series.clean_ms if not series.mostly_disturbed and series.clean_ms else series.wall_ms
    p50_ms = float(np.median(times))
    return CellSpeed(p50_ms=p50_ms, throughput_per_s=1e3 * batch_size / p50_ms if p50_ms else 0.0, runs=len(times))


def threads_of(grid: SpeedGrid, cores: int) -> tuple[int, ...]:
    """The numbers of threads: those asked for, else 1, 2, 4 and so on up to the cores."""
    if grid.threads:
        return grid.threads
    powers = [1 << power for power in range(cores.bit_length()) if 1 << power <= cores]
    return tuple(powers if powers[-1] == cores else [*powers, cores])
