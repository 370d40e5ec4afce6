"""How many threads a training uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents.measuring.machine import usable_cores


def training_threads(parameters: Mapping[str, Any]) -> int:
    """The number in a technique's parameters, or this worker's cores where it is 0."""
    return int(parameters.get("threads", 1)) or usable_cores()
