"""What one process has timed, in a form that processes can exchange as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.pressure import Pressure
from apps.agents.contracts.values import Value
from apps.agents.measuring.disturbance import clean, is_by_reference
from apps.agents.measuring.stopwatch import Floats, Runs

ORIGINAL, CANDIDATE, CONTROL = "original", "candidate", "control"
CONTENDERS = (ORIGINAL, CANDIDATE, CONTROL)
CLEAN_RUNS_A_BLOCK = 3
"""Minimum of clean runs for a block to count, or all its runs if it has fewer."""


class Series(Value):
    """One contender's timed runs. A block that does not count has the median `None`."""

    medians_ms: tuple[float | None, ...]
    """Median of each block's clean runs."""
    cpu_ms: tuple[float, ...]
    """Median CPU time of all runs of each block."""
    wall_ms: tuple[float, ...]
    """Median wall time of all runs of each block, including disturbed ones."""
    clean_ms: tuple[float, ...]
    """Every clean run of the blocks that count."""
    runs: int
    disturbed: int
    by_reference: bool = False
    """Whether its runs were compared with those that lost no core instead of with their own CPU time."""

    @property
    def mostly_disturbed(self) -> bool:
        """Whether most runs are disturbed. If runs are compared with each other, an undisturbed run is then unknown."""
        return self.by_reference and 2 * self.disturbed > self.runs


class Record(Value):
    """The rounds of all contenders in one process."""

    series: dict[str, Series]
    runs_per_block: int
    warmup_runs: int
    priority: str = ""
    """What the scheduler granted, in words."""
    pressure: Pressure | None = None
    """Share of the cores that other programs and the host took meanwhile."""
    timed_by: str = ""
    """The clock, in words, if it is not the host's."""

    @property
    def rounds(self) -> int:
        return len(self.series[ORIGINAL].medians_ms)

    @property
    def counted(self) -> NDArray[np.int64]:
        """Indices of the rounds in which every contender has enough clean runs."""
        known = [[median is not None for median in one.medians_ms] for one in self.series.values()]
        return np.flatnonzero(np.all(known, axis=0))

    @property
    def runs(self) -> int:
        return sum(one.runs for one in self.series.values())

    @property
    def disturbed(self) -> int:
        return sum(one.disturbed for one in self.series.values())

    def medians_ms(self, name: str) -> Floats:
        """Medians of the rounds that count, in milliseconds."""
        found = self.series[name].medians_ms
        return np.array([found[number] or 0.0 for number in self.counted], dtype=np.float64)


def record_of(blocks: Mapping[str, Sequence[Runs]], target: Target, *, runs_per_block: int, warmup_runs: int) -> Record:
    """The record of `blocks`, which have one entry per round."""
    return Record(
        series={name: _series(of_name, target) for name, of_name in blocks.items()},
        runs_per_block=runs_per_block,
        warmup_runs=warmup_runs,
    )


def _series(blocks: Sequence[Runs], target: Target) -> Series:
    # All blocks are judged together: they show what undisturbed runs look like better than one block does.
    together = Runs(tuple(reading for block in blocks for reading in block.readings), blocks[0].repeat)
    masks = np.split(clean(together, target), np.cumsum([len(block) for block in blocks])[:-1])
    medians: list[float | None] = []
    kept: list[float] = []
    for block, mask in zip(blocks, masks, strict=True):
        times = block.wall_ms[mask]
        enough = len(times) >= min(CLEAN_RUNS_A_BLOCK, len(block))
        medians.append(float(np.median(times)) if enough else None)
        kept.extend(times.tolist() if enough else ())
    return Series(
        medians_ms=tuple(medians),
        cpu_ms=tuple(float(np.median(block.cpu_ms)) for block in blocks),
        wall_ms=tuple(float(np.median(block.wall_ms)) for block in blocks),
        clean_ms=tuple(kept),
        runs=len(together) * together.repeat,
        disturbed=int(sum(np.count_nonzero(~mask) for mask in masks)) * together.repeat,
        by_reference=is_by_reference(together, target),
    )
