"""Measurements compared with limits."""

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
    """One constraint compared with its measurement.

    `margin` is the distance of the measurement from `limit`, in the constraint's unit: positive on the good side,
    negative if the limit is missed. The `to_decide` of an inconclusive verdict says how many more examples or runs
    would decide it.
    """

    constraint: str
    """The field of `Constraints`."""
    subject: str = ""
    """The metric or the output that it is about, if the field does not tell."""
    metric: str = ""
    """The metric of the output that it is about, if the output is judged by labels of its own."""
    limit: float = Field(description="For a drop: the largest that is allowed, as a positive number.")
    measured: Estimate = Field(description="For a metric: its drop, so a positive number is a loss.")
    unit: str
    status: Holds
    margin: float
    sentence: str
    to_decide: str | None = None

    @property
    def key(self) -> str:
        """Names it among all verdicts of a report: `min_speedup`, `metric_limits.macro_f1`."""
        several = self.subject and self.constraint in ("metric_limits", "output_limits")
        return f"{self.constraint}.{self.subject}" if several else self.constraint
