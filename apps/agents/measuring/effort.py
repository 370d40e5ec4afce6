"""How much to measure, and which question to answer. Imports nothing heavy."""

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
"""Receives the share that is done and the seconds that are left."""

FEWEST_ROUNDS = 3
"""With fewer, an interval does not have its coverage: with two rounds it misses the truth every other time."""
ENOUGH_ROUNDS = 6
"""Enough rounds on a machine that is not busy."""
ROUNDS_A_PROCESS = 8
"""Counted rounds in a fresh process. A ninth round adds less than the differences between processes."""
FEWEST_PROCESSES = 3
PROCESSES_TAKE = 2.0
"""How many of the effort's budgets all fresh processes may take together, including starting and loading."""


@dataclass(frozen=True)
class Effort:
    """How much to measure. Times are seconds of wall clock."""

    warmup_runs: int = 5
    warmup_s: float = 0.3
    """Warm up until both minimums are reached, but never longer than five times `warmup_s`."""
    block_s: float = 0.03
    """A block holds as many runs of the original as fit, at least one, and the same number of every contender. Blocks
    are short, because a process with real-time priority makes all others wait that long."""
    runs_per_block_maximum: int = 200
    unit_s: float = 0.0002
    """Shorter runs are timed several at a time; otherwise reading the clocks would distort them."""
    pause: float = REST_SHARE
    """Share of a block's time to pause before the next block, so that programs waiting for this core run then."""
    rounds_minimum: int = 12
    rounds_maximum: int = 120
    budget_s: float = 20.0
    priority: bool = True
    """Whether to ask the scheduler to favour the timed process."""
    precision: float = 0.02
    """Stop once the ratio's interval reaches no farther than this share of it to either side."""


@dataclass(frozen=True)
class Question:
    """What a comparison has to answer.

    `decide_at` are the speed-ups that a constraint requires: measuring continues while one of them lies inside the
    interval and the budget lasts.
    """

    seed: int
    confidence: float = 0.95
    decide_at: tuple[float, ...] = ()


def timing_budget_s(budget: Budget, longest_s: float = LONGEST_TIMING_S) -> float:
    """Seconds for timing one candidate: a quarter of its share of the time, within bounds."""
    share_s = budget.minutes * 60 / budget.candidates * SHARE_OF_BUDGET
    return min(longest_s, max(SHORTEST_TIMING_S, share_s))
