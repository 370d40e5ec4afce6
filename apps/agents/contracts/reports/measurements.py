"""Times and other measured numbers with their intervals."""

from __future__ import annotations

from apps.agents.contracts.reports.pressure import Pressure
from apps.agents.contracts.values import Value

UNKNOWN = 1e9
"""The end of an interval that is not bounded. JSON does not have infinity, and `None` would mean an exact number."""


class Latency(Value):
    """One model timed alone."""

    p50_ms: float
    p95_ms: float
    throughput_per_s: float
    """Examples per second at this batch size."""
    runs: int
    batch_size: int
    threads: int


class OriginalMemory(Value):
    """The peak memory of a session's original from its analysis, with the batch size and machine it is valid for."""

    peak_bytes: int
    batch_size: int
    hostname: str


class ModeLatency(Value):
    """The same file in another mode of the same runtime, such as compiled. Candidates are not compared with it."""

    name: str
    latency: Latency


class Estimate(Value):
    """A number with its interval at the session's confidence. An exact number does not have an interval."""

    value: float
    low: float | None = None
    high: float | None = None

    def includes(self, number: float) -> bool:
        """Whether `number` lies in the interval, or equals the exact number."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return low <= number <= high

    def within(self, reach: float) -> bool:
        """Whether the whole interval, or the exact number, lies within `reach` on either side of 0."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return -reach <= low and high <= reach

    def negated(self) -> Estimate:
        """The estimate with the opposite sign."""
        low, high = (None if end is None else 0.0 - end for end in (self.high, self.low))
        return Estimate(value=0.0 - self.value, low=low, high=high)


class LatencyComparison(Value):
    """Interleaved blocks of both models on one machine. Ratios are original over candidate: above 1 is faster.

    All numbers except `cpu_speedup` are from undisturbed runs. If the machine was too `busy` for enough of them, the
    speed-up is not known: its value is a guess (from CPU time, if that is known), and its interval is not bounded.
    """

    original: Latency
    candidate: Latency
    speedup: Estimate
    control: Estimate
    """The original compared with itself in the same way. It shows how far from 1 noise alone can move a ratio."""
    blocks: int
    """The rounds that count, in all processes together."""
    runs_per_block: int
    warmup_runs: int
    original_blocks_ms: tuple[float, ...] = ()
    candidate_blocks_ms: tuple[float, ...] = ()
    candidate_p50_ms: Estimate | None = None
    """The candidate's median run with its interval. Older reports have only the blocks."""
    runs: int = 0
    """The timed runs of candidate, original and control together."""
    disturbed: int = 0
    """How many of them do not count because another program took the core."""
    busy: bool = False
    """Whether so many runs were disturbed that the speed-up is not known."""
    processes: int = 1
    """How many fresh processes the intervals cover; 1 if both models ran in one process."""
    cpu_speedup: Estimate | None = None
    """The same ratio by CPU time of all runs, which a busy machine hardly changes. Only for one thread."""
    priority: str = ""
    """The scheduling priority of the timing, in words."""
    pressure: Pressure | None = None
    """How much of the cores other programs and the host took during timing, in the process that was delayed most."""
    timed_by: str = ""
    """The clock, in words, if it is not the host's: a device's events and clock rates."""
    waited_s: float = 0.0
    """How many seconds were spent waiting for a quiet moment before timing."""


class Pair(Value):
    """An exact quantity of both models, and the ratio original over candidate."""

    original: float
    candidate: float
    ratio: float
