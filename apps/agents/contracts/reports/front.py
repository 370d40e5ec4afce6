"""The measured candidates as points between speed, size and loss, and which of them no other one beats."""

from __future__ import annotations

from pydantic import Field

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value

ORIGINAL_POINT = "original"


class FrontPoint(Value):
    """One measured model. Ratios are original over candidate; a positive drop of the metric is a loss."""

    key: str
    """The candidate's key, or `original`."""
    title: str = ""
    status: str = ""
    """The candidate's status; empty for the original."""
    speedup: Estimate
    size_ratio: float
    drop: Estimate
    unit: str
    part: str = ""
    """The part of the data set on which it was measured: `choosing` or `evaluation`; empty for the original."""
    examples: int = 0
    on_front: bool = False
    dominated_by: str | None = None
    """The key of a point that is at least as good in everything and clearly better in something."""


class Front(Value):
    """All points with a known speed, and the keys of those on the front, the slowest first."""

    points: tuple[FrontPoint, ...] = ()
    keys: tuple[str, ...] = ()
    left_out: dict[str, str] = Field(default_factory=dict)
    """By key: why a measured candidate is not a point, in a sentence."""
