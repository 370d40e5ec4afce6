"""How many steps fit into the minutes, given the measured times of a step and a check."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

INTERVALS = 12
"""The most checks on held-out examples, spread evenly over the training."""
FEWEST_INTERVALS = 2
CHECKS_SHARE = 0.15
"""The share of the time for checks."""
TOLERANCE = 0.08
"""If training would miss its time by more than this share, the number of steps is adjusted."""
LATEST = 1.1
"""Training ends after this share of its time at the latest."""


@dataclass(frozen=True)
class Layout:
    """The total number of steps, and the number of steps between checks."""

    steps: int
    interval: int


def of_steps(steps: int, intervals: int = INTERVALS) -> Layout:
    return Layout(steps, max(1, ceil(steps / intervals)))


def of_time(budget_s: float, step_s: float, check_s: float) -> Layout:
    """As many steps as leave time for the checks, but at least one. If checks are slow, there are fewer of them."""
    intervals = max(FEWEST_INTERVALS, min(INTERVALS, int(CHECKS_SHARE * budget_s / max(check_s, 1e-6))))
    return of_steps(max(1, int((budget_s - intervals * check_s) / step_s)), intervals)


def misses(left_s: float, needed_s: float, budget_s: float) -> bool:
    """Whether the time still needed differs so much from the time left that the budget would be missed."""
    return abs(needed_s - left_s) > TOLERANCE * budget_s
