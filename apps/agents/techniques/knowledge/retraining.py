"""What a pruning technique says about the training that has to follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Retraining:
    """A cut costs so much accuracy that the model is trained again before it is measured."""

    by: str
    """The technique that trains it. Its parameter `minutes` is the length of the training."""
    parameter: str
    """The pruning technique's parameter for the share of the work that is removed."""
    points_lost: Mapping[float, float]
    """The metric points lost after a short training, by the values of `parameter` to try."""
    fewest_minutes: float = 4.0
    """A session with fewer minutes does not train."""
    minutes_for_two: float = 15.0
    """From this many minutes on, two cuts are tried instead of one."""
    share_of_session: float = 0.2
    """The share of the session's minutes for the training of each cut."""
    speed_exponent: float = 0.9
    """How well speed follows the work: the time is the work that is left, to this power."""
