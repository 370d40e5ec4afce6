"""Latency and throughput of original and candidate by batch size and number of threads."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.values import Value

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
LARGEST_BATCH = 1024
MOST_THREADS = 256
MOST_ON_AN_AXIS = 8


class SpeedGrid(Value):
    """What is measured: every batch size with every number of threads."""

    batch_sizes: tuple[int, ...] = Field(BATCH_SIZES, min_length=1, max_length=MOST_ON_AN_AXIS)
    threads: tuple[int, ...] = Field((), max_length=MOST_ON_AN_AXIS)
    """Empty means 1, 2, 4 and so on, up to the cores of the machine that measures."""

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        for name, values, most in (
            ("batch_sizes", self.batch_sizes, LARGEST_BATCH),
            ("threads", self.threads, MOST_THREADS),
        ):
            if any(not 1 <= value <= most for value in values):
                raise ValueError(f"{name} must be from 1 to {most}")
            if len(set(values)) != len(values):
                raise ValueError(f"{name} must be different from each other")
        return self


class CellSpeed(Value):
    """One model in one cell."""

    p50_ms: float
    throughput_per_s: float
    """Examples per second at the median run."""
    runs: int


class MatrixCell(Value):
    batch_size: int
    threads: int
    original: CellSpeed | None = None
    candidate: CellSpeed | None = None
    """`None` if the matrix is of the original alone."""
    skipped: str | None = None
    """Why nothing was measured here, in a sentence."""

    @property
    def speedup(self) -> float | None:
        """Original over candidate; `None` if either is not known."""
        if self.original is None or self.candidate is None or not self.candidate.p50_ms:
            return None
        return self.original.p50_ms / self.candidate.p50_ms


class SpeedMatrix(Value):
    """The cells, row by row: batch sizes, and for each the numbers of threads."""

    batch_sizes: tuple[int, ...]
    threads: tuple[int, ...]
    cells: tuple[MatrixCell, ...]
    machine: Machine
    seconds: float
    notes: tuple[str, ...] = ()
