"""Times and other measured numbers with their intervals."""

from __future__ import annotations

from apps.agents.contracts.reports.pressure import Pressure
from apps.agents.contracts.values import Value

UNKNOWN = 1e9
"""Either end of an interval that nothing bounds: JSON has no infinity, and no end at all would mean an exact number."""


class Latency(Value):
    """One model timed alone."""

    p50_ms: float
    p95_ms: float
    throughput_per_s: float
    """Examples a second at this batch size."""
    runs: int
    batch_size: int
    threads: int


class OriginalMemory(Value):
    """The peak memory of a session's original, as its analysis measured it, and what that number holds for."""

    peak_bytes: int
    batch_size: int
    hostname: str


class ModeLatency(Value):
    """The same file in another mode of the same runtime, such as compiled; no candidate is held against it."""

    name: str
    latency: Latency


class Estimate(Value):
    """A number with its interval at the session's confidence; no interval where the number is exact."""

    value: float
    low: float | None = None
    high: float | None = None

    def includes(self, number: float) -> bool:
        """Whether `number` lies in the interval; of an exact number, whether it is that number."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return low <= number <= high

    def negated(self) -> Estimate:
        """The same with the other sign."""
        low, high = (None if end is None else 0.0 - end for end in (self.high, self.low))
        return Estimate(value=0.0 - self.value, low=low, high=high)


class LatencyComparison(Value):
    """Interleaved blocks of both models on one machine. Ratios are original over candidate: above 1 is faster.

    All but `cpu_speedup` is of undisturbed runs. Where the machine was too `busy` for enough of them, the speed-up is
    not known: its value is a guess, by CPU time where that is known, and its interval has no bounds.
    """

    original: Latency
    candidate: Latency
    speedup: Estimate
    control: Estimate
    """The original against itself, measured the same way: how far from 1 noise alone reaches."""
    blocks: int
    """Rounds that count, in all processes."""
    runs_per_block: int
    warmup_runs: int
    original_blocks_ms: tuple[float, ...] = ()
    candidate_blocks_ms: tuple[float, ...] = ()
    candidate_p50_ms: Estimate | None = None
    """The candidate's median run with its interval; reports from before it was kept have blocks only."""
    runs: int = 0
    """Timed runs of all three contenders."""
    disturbed: int = 0
    """How many of them did not count, because something else took the core."""
    busy: bool = False
    """Whether so many were disturbed that the speed-up is not known."""
    processes: int = 1
    """Fresh processes that the intervals are over; 1 where both models ran in one."""
    cpu_speedup: Estimate | None = None
    """The same ratio by CPU time of all runs, which a busy machine hardly moves. Of one thread only."""
    priority: str = ""
    """What the scheduler granted the timing, in words."""
    pressure: Pressure | None = None
    """What others and the host took of the cores while timing, in the process that was held up most."""
    timed_by: str = ""
    """The clock, in words, where it is not the host's: a device's events, and the rates it ran at."""
    waited_s: float = 0.0
    """Seconds waited for a quiet moment before timing."""


class Pair(Value):
    """An exact quantity of both models and original over candidate."""

    original: float
    candidate: float
    ratio: float
