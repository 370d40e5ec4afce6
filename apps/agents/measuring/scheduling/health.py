"""How fit a machine is to time models, by how it timed the last one: the original against itself, and the disturbances.

An A/A comparison measures nothing but noise: its interval should hold 1 and reach hardly beyond.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import Field

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value

GOOD_SPREAD, BUSY_SPREAD = 0.05, 0.15
GOOD_DISTURBED, BUSY_DISTURBED = 0.2, 0.6
"""Shares of timed runs."""


class Health(StrEnum):
    GOOD = "good"
    BUSY = "busy"
    TOO_BUSY = "too_busy"


class TimingHealth(Value):
    """What the last latency comparison on a machine says about it."""

    at: datetime
    control: Estimate
    """The original against itself: 1 is true."""
    runs: int = Field(0, ge=0)
    """Timed runs; 0 where they were not counted."""
    disturbed: int = Field(0, ge=0)
    """How many of them did not count, because something else took the core."""
    inconclusive: bool = False
    """Whether so many were disturbed that the speed-up could not be known."""

    @classmethod
    def of(cls, latency: Mapping[str, Any], at: datetime) -> Self:
        """Read from a `LatencyComparison` as plain JSON, which older workers wrote without counts."""
        return cls(
            at=at,
            control=Estimate.model_validate(latency["control"]),
            runs=latency.get("runs", 0),
            disturbed=latency.get("disturbed", 0),
            inconclusive=latency.get("busy", False),
        )

    @property
    def spread(self) -> float | None:
        """How far from 1 the interval of the control reaches: a speed-up nearer to 1 than that is noise.

        `None` where too few runs were undisturbed to know.
        """
        if self.inconclusive:
            return None
        ends = (self.control.value, self.control.low, self.control.high)
        return max(abs(end - 1) for end in ends if end is not None)

    @property
    def disturbed_share(self) -> float | None:
        return self.disturbed / self.runs if self.runs else None

    @property
    def state(self) -> Health:
        spread, disturbed = self.spread, self.disturbed_share or 0.0
        if spread is None or spread > BUSY_SPREAD or disturbed > BUSY_DISTURBED:
            return Health.TOO_BUSY
        return Health.GOOD if spread <= GOOD_SPREAD and disturbed <= GOOD_DISTURBED else Health.BUSY
