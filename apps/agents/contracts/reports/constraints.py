"""Limits held against measurements."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value


class Holds(StrEnum):
    HOLDS = "holds"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"


class ConstraintVerdict(Value):
    """One constraint against its measurement.

    `margin` is how far on the good side of `limit` the measurement lies, in the constraint's unit: negative is how much
    it missed by. An inconclusive verdict says in `to_decide` how many more examples or runs would settle it.
    """

    constraint: str
    """The field of `Constraints`."""
    limit: float = Field(description="Of a drop: the largest that is allowed, a positive number.")
    measured: Estimate = Field(description="Of a metric: its drop, so that a positive number is a loss.")
    unit: str
    status: Holds
    margin: float
    sentence: str
    to_decide: str | None = None
