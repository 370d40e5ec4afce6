"""How many steps fit into the minutes, by what a step and a check were found to take."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

INTERVALS = 12
"""Checks on held-out examples at most, evenly over the training."""
FEWEST_INTERVALS = 2
CHECKS_SHARE = 0.15
"""Of the time, for checks."""
TOLERANCE = 0.08
"""A training that would miss its time by more than this share is laid out anew."""
LATEST = 1.1
"""Of its time: what runs longer is ended."""


@dataclass(frozen=True)
class Layout:
    """Steps in all, and after how many the next check comes."""

    steps: int
    interval: int


def of_steps(steps: int, intervals: int = INTERVALS) -> Layout:
    return Layout(steps, max(1, ceil(steps / intervals)))


def of_time(budget_s: float, step_s: float, check_s: float) -> Layout:
    """As many steps as leave time for the checks; one at least. Where checks are slow, there are fewer of them."""
    intervals = max(FEWEST_INTERVALS, min(INTERVALS, int(CHECKS_SHARE * budget_s / max(check_s, 1e-6))))
    return of_steps(max(1, int((budget_s - intervals * check_s) / step_s)), intervals)


def misses(left_s: float, needed_s: float, budget_s: float) -> bool:
    """Whether what is still needed is so much more or less than what is left that the budget would be missed."""
    return abs(needed_s - left_s) > TOLERANCE * budget_s
