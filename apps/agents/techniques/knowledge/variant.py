"""A technique with parameters that the planner thinks about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NO_PLACE = 1000


@dataclass(frozen=True)
class Variant:
    """A technique with parameters, and why it belongs to the grid."""

    technique: str
    parameters: Mapping[str, Any]
    reason: str
    place: int = NO_PLACE
    """Which of two that are worth as much comes first: the lower one."""
