"""Latency: one model alone, and two models in turns.

Two models are compared in interleaved blocks: each round times a block of runs of the original, the candidate and the
control (the original again, in a session of its own), in an order drawn anew for every round, so that a slow stretch of
the machine hits all of them alike. A block counts with its median run, which a few interrupted runs do not move. The
interval of the ratio comes from a bootstrap over rounds, and the control's ratio to the original shows how far from 1
noise alone reaches. The number of rounds adapts: enough is when the interval is narrow, decides the required speed-up,
or the time budget ends. Measuring in random interleaved trials follows Laaber et al., Empirical Software Engineering
24 (2019), and Kalibera and Jones, "Rigorous benchmarking in reasonable time", ISMM 2013.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apps.agents.reports import Estimate, Latency, LatencyComparison
from apps.agents.statistics import median_ratio_interval

Run = Callable[[], object]
Clock = Callable[[], int]
"""Nanoseconds, never going back."""
Watcher = Callable[[float, float | None], None]
"""Told the share that is done and the seconds that are left."""

NANOSECONDS_PER_MS = 1e6
ROUNDS_BETWEEN_LOOKS = 4
DECIDED_PRECISION = 2.5
"""How many times wider than `Effort.precision` an interval may stay that has decided."""
CONTENDERS = ("original", "candidate", "control")


@dataclass(frozen=True)
class Effort:
    """How much measuring is worth. Times are seconds of wall clock."""

    warmup_runs: int = 5
    warmup_s: float = 0.3
    """Warm up until both are reached, but never longer than five times `warmup_s`."""
    block_s: float = 0.03
    """A block holds as many runs of the original as fit, and the same number of every contender."""
    runs_per_block_minimum: int = 3
    runs_per_block_maximum: int = 200
    rounds_minimum: int = 12
    rounds_maximum: int = 120
    budget_s: float = 20.0
    precision: float = 0.02
    """Stop when the ratio's interval reaches no farther than this share of it to either side."""


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect now, then not until the end: a collection inside a timed run is not the model's time."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def time_runs(
    run: Run,
    count: int,
    clock: Clock = time.perf_counter_ns,
    *,
    limit_s: float = math.inf,
    minimum: int = 1,
) -> NDArray[np.float64]:
    """Milliseconds of `count` runs, each timed alone; fewer, down to `minimum`, once `limit_s` has passed."""
    times: list[int] = []
    begin = clock()
    for _ in range(count):
        start = clock()
        run()
        end = clock()
        times.append(end - start)
        if len(times) >= minimum and end - begin > limit_s * 1e9:
            break
    return np.array(times, dtype=np.float64) / NANOSECONDS_PER_MS


def warm_up(run: Run, effort: Effort, clock: Clock = time.perf_counter_ns) -> tuple[int, float]:
    """Run until caches and clocks have settled: the number of runs made, and the median of the later half in ms."""
    times: list[float] = []
    start = clock()
    while True:
        times.extend(time_runs(run, 1, clock))
        elapsed_s = (clock() - start) / 1e9
        if elapsed_s >= 5 * effort.warmup_s:
            break
        if len(times) >= effort.warmup_runs and elapsed_s >= effort.warmup_s:
            break
    return len(times), float(np.median(times[len(times) // 2 :]))


def summarize(times_ms: NDArray[np.float64], batch_size: int, threads: int) -> Latency:
    """Percentiles of single runs; throughput is examples a second at the median run."""
    p50, p95 = np.percentile(times_ms, [50, 95])
    return Latency(
        p50_ms=float(p50),
        p95_ms=float(p95),
        throughput_per_s=float(batch_size * 1e3 / p50) if p50 > 0 else 0.0,
        runs=len(times_ms),
        batch_size=batch_size,
        threads=threads,
    )


def measure_latency(
    run: Run,
    *,
    batch_size: int,
    threads: int,
    runs: int = 100,
    budget_s: float = 5.0,
    effort: Effort | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Latency:
    """Time one model alone: `run` makes one inference of `batch_size` examples.

    Warms up, then times up to `runs` runs, fewer (but at least three) where `budget_s` ends first. `threads` is only
    written down: whoever made the session has set it. For a comparison use `compare_latency`: two separate calls of
    this one differ by whatever the machine did in between.
    """
    effort = effort or Effort()
    _, typical_ms = warm_up(run, effort, clock)
    affordable = int(budget_s * 1e3 / typical_ms) if typical_ms > 0 else runs
    with no_garbage_collection():
        times = time_runs(run, max(3, min(runs, affordable)), clock, limit_s=2 * budget_s, minimum=3)
    return summarize(times, batch_size, threads)


@dataclass
class _Rounds:
    """What has been timed so far: single runs, and the median of every block, by contender."""

    runs_ms: dict[str, list[NDArray[np.float64]]] = field(default_factory=lambda: {name: [] for name in CONTENDERS})
    medians_ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CONTENDERS})

    def add(self, name: str, times_ms: NDArray[np.float64]) -> None:
        self.runs_ms[name].append(times_ms)
        self.medians_ms[name].append(float(np.median(times_ms)))

    def ratio(self, numerator: str, denominator: str, confidence: float, seed: int) -> Estimate:
        return median_ratio_interval(
            np.array(self.medians_ms[numerator]), np.array(self.medians_ms[denominator]), confidence, seed
        )


def compare_latency(
    original: Run,
    candidate: Run,
    control: Run,
    *,
    batch_size: int,
    threads: int,
    seed: int,
    confidence: float = 0.95,
    decide_at: Sequence[float] = (),
    effort: Effort | None = None,
    watcher: Watcher | None = None,
    clock: Clock = time.perf_counter_ns,
) -> LatencyComparison:
    """Time `candidate` against `original` in turns, with `control` (the original's second session) as the noise gauge.

    `decide_at` are the speed-ups that a constraint asks for: measuring goes on while one of them lies inside the
    interval, as long as the budget lasts. Speed-ups are original over candidate, so above 1 is faster.
    """
    effort = effort or Effort()
    contenders = dict(zip(CONTENDERS, (original, candidate, control), strict=True))
    warm = {name: warm_up(run, effort, clock) for name, run in contenders.items()}
    per_block = _runs_per_block(warm["original"][1], effort)
    rounds, order = _Rounds(), np.random.default_rng(seed)
    start = clock()
    with no_garbage_collection():
        for count in range(1, effort.rounds_maximum + 1):
            for index in order.permutation(len(CONTENDERS)):
                name = CONTENDERS[index]
                rounds.add(name, _block(contenders[name], per_block, effort, clock))
            elapsed_s = (clock() - start) / 1e9
            if watcher:
                watcher(*_progress(count, elapsed_s, effort))
            # Two rounds are the least that any interval can be made of, however slow the model is.
            if count >= 2 and elapsed_s >= effort.budget_s:
                break
            if count < effort.rounds_minimum or count % ROUNDS_BETWEEN_LOOKS:
                continue
            if _settled(rounds.ratio("original", "candidate", confidence, seed), decide_at, effort.precision):
                break
    return LatencyComparison(
        original=summarize(np.concatenate(rounds.runs_ms["original"]), batch_size, threads),
        candidate=summarize(np.concatenate(rounds.runs_ms["candidate"]), batch_size, threads),
        speedup=rounds.ratio("original", "candidate", confidence, seed),
        control=rounds.ratio("original", "control", confidence, seed),
        blocks=len(rounds.medians_ms["original"]),
        runs_per_block=per_block,
        warmup_runs=min(runs for runs, _ in warm.values()),
        original_blocks_ms=tuple(rounds.medians_ms["original"]),
        candidate_blocks_ms=tuple(rounds.medians_ms["candidate"]),
    )


def _block(run: Run, count: int, effort: Effort, clock: Clock) -> NDArray[np.float64]:
    """One block; a contender that is far slower than the original gets fewer runs rather than the whole budget."""
    return time_runs(run, count, clock, limit_s=10 * effort.block_s, minimum=effort.runs_per_block_minimum)


def _runs_per_block(typical_ms: float, effort: Effort) -> int:
    fitting = int(effort.block_s * 1e3 / typical_ms) if typical_ms > 0 else effort.runs_per_block_maximum
    return max(effort.runs_per_block_minimum, min(effort.runs_per_block_maximum, fitting))


def _progress(rounds: int, elapsed_s: float, effort: Effort) -> tuple[float, float]:
    """Share done and seconds left, by whichever of rounds and time ends first."""
    fraction = min(1.0, max(rounds / effort.rounds_maximum, elapsed_s / effort.budget_s))
    return fraction, elapsed_s * (1 - fraction) / fraction


def _settled(speedup: Estimate, decide_at: Sequence[float], precision: float) -> bool:
    """Whether more rounds would change nothing that matters: the interval is narrow and no limit lies inside it.

    Where all limits lie outside, a wider interval will do.
    """
    low, high = speedup.low or 0.0, speedup.high or math.inf
    if any(low <= limit <= high for limit in decide_at):
        return False
    reach = max(high - speedup.value, speedup.value - low) / speedup.value
    return reach <= (DECIDED_PRECISION if decide_at else 1) * precision
