"""How fast models ran on a machine, from which follows how long one takes that was not timed there yet. Light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """Parameters that pass by in a second, for one example at a time: a model's size over its measured latency."""

    parameters_per_s: float
    basis: str
    """Where it was measured, as a part of a sentence."""

    def forward_s(self, parameters: int) -> float:
        """Seconds that one example takes through a model with so many parameters."""
        return parameters / self.parameters_per_s
