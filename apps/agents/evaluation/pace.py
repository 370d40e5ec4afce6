"""How far an evaluation has come, by the clock: the share of its seconds that are over."""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.agents.contracts.context import Context


class Pace:
    """Reports each activity of a job with the seconds that the whole job still needs.

    Its parts take very different times on different models, so no fixed share of the bar belongs to any of them.
    """

    def __init__(self, context: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._context, self._clock = context, clock
        self._began = clock()
        self._paused_s = 0.0
        self.share = 0.0
        """Of the job's time; it never falls, even if more turns out to be left than was expected."""

    @property
    def spent_s(self) -> float:
        return self._clock() - self._began - self._paused_s

    def reached(self, doing: str, left_s: float | None) -> None:
        """The job is `doing` something now, and should end in `left_s`; `None` if nobody knows."""
        if left_s is not None:
            spent_s = self.spent_s
            self.share = max(self.share, spent_s / (spent_s + left_s) if spent_s + left_s > 0 else 1.0)
        self._context.progress(self.share, doing, left_s)

    def paused(self, all_in_all_s: float) -> None:
        """The job has waited so long up to now, which is not work."""
        self._paused_s = all_in_all_s
