"""How long a session should still take, as it was foreseen at its last decision."""

from __future__ import annotations

from pydantic import Field

from apps.agents.contracts.values import Value


class Forecast(Value):
    """Seconds of work that a session has before it."""

    steps: dict[str, float]
    """By key: how long each queued or running step should take in all."""
    waits: dict[str, float] = Field(default_factory=dict)
    """By key: how much of that should be waiting for a quiet machine, where some is expected."""
    later_s: float
    """What should follow after these steps, in seconds of work."""
    at_once: int = 1
    """How many steps can run concurrently."""
    planned: bool = True
    """Whether there is a plan. Before it, what follows is a guess from the budget."""

    @property
    def total_s(self) -> float:
        """Seconds until the end if no step has begun."""
        longest_s = max(self.steps.values(), default=0.0)
        return max(longest_s, (sum(self.steps.values()) + self.later_s) / max(1, self.at_once))
