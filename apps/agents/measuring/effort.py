"""How much measuring is worth, and what it is to answer. Light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.job_arguments import LONGEST_TIMING_S
from apps.agents.measuring.scheduling.priority import REST_SHARE

SHORTEST_TIMING_S = 3.0
"""Whatever the budget leaves, unless less than that is allowed."""
SHARE_OF_BUDGET = 0.25
"""Of the time that the budget leaves each candidate: timing must not eat what the search needs."""
SHARE_OF_RANKING = 0.5
"""Of that, where candidates are only ranked."""

Watcher = Callable[[float, float | None], None]
"""Told the share that is done and the seconds that are left."""

FEWEST_ROUNDS = 3
"""Below, no interval covers as it says: that of two rounds misses the truth every other time."""
ENOUGH_ROUNDS = 6
"""From here on a machine that is not busy has shown enough."""
ROUNDS_A_PROCESS = 8
"""That count, in a fresh process: what differs between processes weighs more than what a ninth round would tell."""
FEWEST_PROCESSES = 3


@dataclass(frozen=True)
class Effort:
    """How much measuring is worth. Times are seconds of wall clock."""

    warmup_runs: int = 5
    warmup_s: float = 0.3
    """Warm up until both are reached, but never longer than five times `warmup_s`."""
    block_s: float = 0.03
    """A block holds as many runs of the original as fit, one at least, and the same number of every contender. Short,
    because a process with a real-time priority keeps all others waiting for as long."""
    runs_per_block_maximum: int = 200
    unit_s: float = 0.0002
    """Runs shorter than this are timed several at once, or reading the clocks would be a part of them."""
    pause: float = REST_SHARE
    """Of a block's time, before the next one: what waits for this core gets its turn then, and not inside a block."""
    rounds_minimum: int = 12
    rounds_maximum: int = 120
    budget_s: float = 20.0
    priority: bool = True
    """Whether the scheduler is asked to favour what is timed."""
    precision: float = 0.02
    """Stop when the ratio's interval reaches no farther than this share of it to either side."""


@dataclass(frozen=True)
class Question:
    """What a comparison is to answer.

    `decide_at` are the speed-ups that a constraint asks for: measuring goes on while one of them lies inside the
    interval, as long as the budget lasts.
    """

    seed: int
    confidence: float = 0.95
    decide_at: tuple[float, ...] = ()


def timing_budget_s(budget: Budget, longest_s: float = LONGEST_TIMING_S) -> float:
    """Seconds for timing one candidate: a quarter of its share of the time, within bounds."""
    share_s = budget.minutes * 60 / budget.candidates * SHARE_OF_BUDGET
    return min(longest_s, max(SHORTEST_TIMING_S, share_s))
