"""Where a training stands. What is drawn at random is drawn from the seed and the step's number, so that is enough."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class State:
    steps: int
    """To be made in all."""
    interval: int
    step: int = 0
    """Made so far."""
    place: float = 0.0
    """On the schedule, 0 to 1."""
    spent_s: float = 0.0
    """By this and earlier attempts."""
    next_check: int = 0
    checks: int = 0
    unimproved: int = 0
    """Checks since the best one."""
    held_out_before: float = 0.0
    held_out_best: float = float("inf")
    best_step: int = 0
    step_s: float = 0.0
    """What a step takes, as measured last; 0 where nobody has."""
    check_s: float = 0.0
    training_loss: float = 0.0
    """Mean of the last interval."""
    stopped_early: bool = False
    """Because the held-out loss got no better."""
    out_of_time: bool = False

    @property
    def done(self) -> bool:
        return self.step >= self.steps or self.stopped_early or self.out_of_time
