"""Times one model alone."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.measurements import Latency
from apps.agents.measuring.disturbance import clean
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.interleaving import warm_up
from apps.agents.measuring.scheduling.priority import priority
from apps.agents.measuring.stopwatch import (
    Clock,
    Floats,
    Run,
    Stopwatch,
    SystemStopwatch,
    WallStopwatch,
    no_garbage_collection,
    time_runs,
)

FEWEST_RUNS = 3


def measure_latency(
    run: Run,
    *,
    batch_size: int,
    threads: int,
    runs: int = 100,
    budget_s: float = 5.0,
    effort: Effort | None = None,
    clock: Clock | None = None,
) -> Latency:
    """Time one model alone. `run` makes one inference of `batch_size` examples.

    Warms up, then times up to `runs` runs, or fewer (at least three) if `budget_s` ends first. Undisturbed runs count,
    or all runs if fewer than three are undisturbed. `threads` is only recorded; the caller has set it in the session.
    Two separate calls also differ by the state of the machine, so use a `Timer` for a comparison.
    """
    effort = effort or Effort()
    stopwatch: Stopwatch = SystemStopwatch() if clock is None else WallStopwatch(clock)
    typical_ms = warm_up(run, effort, stopwatch).typical_ms
    affordable = int(budget_s * 1e3 / typical_ms) if typical_ms > 0 else runs
    count = max(FEWEST_RUNS, min(runs, affordable))
    with no_garbage_collection(), priority(threads) if clock is None else nullcontext():
        timed = time_runs(run, count, stopwatch, limit_s=2 * budget_s, minimum=FEWEST_RUNS)
    undisturbed = timed.wall_ms[clean(timed, Target(threads=threads))]
    return summarize(undisturbed if len(undisturbed) >= FEWEST_RUNS else timed.wall_ms, batch_size, threads)


def summarize(times_ms: Floats, batch_size: int, threads: int) -> Latency:
    """Percentiles of single runs. Throughput is examples per second at the median run."""
    p50, p95 = np.percentile(times_ms, [50, 95])
    return Latency(
        p50_ms=float(p50),
        p95_ms=float(p95),
        throughput_per_s=float(batch_size * 1e3 / p50) if p50 > 0 else 0.0,
        runs=len(times_ms),
        batch_size=batch_size,
        threads=threads,
    )
