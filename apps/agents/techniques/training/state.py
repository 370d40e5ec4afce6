"""The state of a training. Random draws depend only on the seed and the step's number, so it needs no generator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class State:
    steps: int
    """The total number to make."""
    interval: int
    step: int = 0
    """Steps made so far."""
    place: float = 0.0
    """The place in the schedule, 0 to 1."""
    spent_s: float = 0.0
    """By this attempt and earlier ones."""
    next_check: int = 0
    checks: int = 0
    unimproved: int = 0
    """Checks since the best one."""
    held_out_before: float = 0.0
    held_out_best: float = float("inf")
    best_step: int = 0
    step_s: float = 0.0
    """The time of a step as measured last, or 0."""
    check_s: float = 0.0
    training_loss: float = 0.0
    """The mean over the last interval."""
    stopped_early: bool = False
    """Whether training ended because the held-out loss stopped improving."""
    out_of_time: bool = False

    @property
    def done(self) -> bool:
        return self.step >= self.steps or self.stopped_early or self.out_of_time
