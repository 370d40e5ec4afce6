"""Runs that are no engine's timed against each other in the test's own process."""

from __future__ import annotations

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.measuring.comparison import compare
from apps.agents.measuring.effort import Effort, Question, Watcher
from apps.agents.measuring.interleaving import take_turns
from apps.agents.measuring.record import CONTENDERS
from apps.agents.measuring.stopwatch import Clock, Run, Stopwatch, SystemStopwatch, WallStopwatch
from apps.agents.measuring.timer import settling


def compare_latency(
    original: Run,
    candidate: Run,
    control: Run,
    *,
    batch_size: int,
    threads: int,
    seed: int,
    confidence: float = 0.95,
    decide_at: tuple[float, ...] = (),
    effort: Effort | None = None,
    watcher: Watcher | None = None,
    clock: Clock | None = None,
) -> LatencyComparison:
    """Time `candidate` against `original` in turns in this process, with `control`, the original's second session.

    Speed-ups are original over candidate, so above 1 is faster.
    """
    effort = effort or Effort()
    target = Target(threads=threads, batch_size=batch_size)
    question = Question(seed, confidence, tuple(decide_at))
    stopwatch: Stopwatch = SystemStopwatch() if clock is None else WallStopwatch(clock)
    record = take_turns(
        dict(zip(CONTENDERS, (original, candidate, control), strict=True)),
        target,
        seed=seed,
        effort=effort,
        enough=settling(question, effort),
        stopwatch=stopwatch,
        watcher=watcher,
    )
    return compare([record], target, question)
