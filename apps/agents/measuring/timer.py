"""The port that an evaluation uses to time two models, and the timer that runs in the current process."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.measuring.comparison import compare, speedup_of
from apps.agents.measuring.effort import Effort, Question, Watcher
from apps.agents.measuring.engine import Engine, Feeds
from apps.agents.measuring.interleaving import Enough, take_turns
from apps.agents.measuring.record import CANDIDATE, CONTROL, ORIGINAL, Record
from apps.agents.measuring.scheduling.priority import priority
from apps.agents.measuring.stopwatch import Run, stopwatch_for
from apps.agents.measuring.timing_intervals import LogInterval

DECIDED_PRECISION = 2.5
"""How many times `Effort.precision` the interval may reach if it already decides."""


class Timer(Protocol):
    """Times a candidate against its original. The control is a second session of the original."""

    def compare(
        self, feeds: Feeds, target: Target, question: Question, watcher: Watcher | None = None
    ) -> LatencyComparison:
        """Time both models on `feeds`, one batch, at `target`. Raises the runtimes' errors."""
        ...

    @property
    def expected_s(self) -> float:
        """About how many seconds that takes."""
        ...


@dataclass(frozen=True)
class InProcessTimer:
    """Times in the current process: fast, but blind to differences between processes.

    For choosing among candidates, and for engines that exist only in memory.
    """

    original: Engine
    candidate: Engine
    effort: Effort

    @property
    def expected_s(self) -> float:
        return 3 * self.effort.warmup_s + self.effort.budget_s

    def compare(
        self, feeds: Feeds, target: Target, question: Question, watcher: Watcher | None = None
    ) -> LatencyComparison:
        engines = {ORIGINAL: self.original, CANDIDATE: self.candidate, CONTROL: self.original}
        contenders: dict[str, Run] = {name: partial(engine.session(target), feeds) for name, engine in engines.items()}
        record = take_turns(
            contenders,
            target,
            seed=question.seed,
            effort=self.effort,
            enough=settling(question, self.effort),
            stopwatch=stopwatch_for((self.original, self.candidate), target),
            watcher=watcher,
            favour=partial(priority, target.threads) if self.effort.priority else nullcontext,
        )
        return compare([record], target, question)


def settling(question: Question, effort: Effort) -> Enough:
    """Whether the rounds of one process answer the question, with an interval that may be examined at any time."""

    def enough(record: Record) -> bool:
        if len(record.counted) < effort.rounds_minimum:
            return False
        interval = speedup_of([record], question)
        return settled(interval, question.decide_at, effort.precision, DECIDED_PRECISION * effort.precision)

    return enough


def settled(speedup: LogInterval, decide_at: tuple[float, ...], precision: float, decided: float) -> bool:
    """Whether more rounds would change nothing that matters: the interval is narrow and contains no limit.

    It may reach as far as `precision`. If there are limits and all lie outside, it may reach as far as `decided`.
    """
    if not all(speedup.excludes(limit) for limit in decide_at):
        return False
    return speedup.relative_reach <= (decided if decide_at else precision)
