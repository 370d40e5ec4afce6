"""A technique with parameters that the planner considers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NO_PLACE = 1000


@dataclass(frozen=True)
class Variant:
    """A technique with parameters, and why it is in the grid."""

    technique: str
    parameters: Mapping[str, Any]
    reason: str
    place: int = NO_PLACE
    """The order of variants with equal worth: the lowest first."""
