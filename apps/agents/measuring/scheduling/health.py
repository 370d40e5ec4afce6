"""How suitable a machine is for timing, judged by its last timing: the original against itself, and disturbances.

An A/A comparison measures only noise: its interval should contain 1 and be narrow.
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
"""Limits on the share of disturbed runs."""


class Health(StrEnum):
    GOOD = "good"
    BUSY = "busy"
    TOO_BUSY = "too_busy"


class TimingHealth(Value):
    """What the last latency comparison shows about a machine."""

    at: datetime
    control: Estimate
    """The original against itself; the true value is 1."""
    runs: int = Field(0, ge=0)
    """Number of timed runs; 0 if they were not counted."""
    disturbed: int = Field(0, ge=0)
    """How many of them did not count, because something else took the core."""
    inconclusive: bool = False
    """Whether too many runs were disturbed to determine the speed-up."""

    @classmethod
    def of(cls, latency: Mapping[str, Any], at: datetime) -> Self:
        """Read from a `LatencyComparison` as plain JSON. Older workers wrote it without counts."""
        return cls(
            at=at,
            control=Estimate.model_validate(latency["control"]),
            runs=latency.get("runs", 0),
            disturbed=latency.get("disturbed", 0),
            inconclusive=latency.get("busy", False),
        )

    @property
    def spread(self) -> float | None:
        """How far from 1 the control's interval reaches: a smaller speed-up is noise.

        `None` if too few runs were undisturbed.
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
