"""The result of one optimize step."""

from __future__ import annotations

from typing import Any

from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.values import Value


class OptimizationResult(Value):
    """The result of one optimize step."""

    technique: str
    parameters: dict[str, Any]
    size_bytes: int
    input_size_bytes: int
    digest: str
    """SHA-256 of the artifact."""
    libraries: dict[str, str]
    seed: int
    checks: tuple[str, ...]
    """The checks that passed, one sentence each."""
    sizes: dict[str, int] = {}
    """Bytes of the artifact in other forms (zipped, as TensorFlow Lite), if the technique's gain shows only there."""
    evidence: dict[str, Any] = {}
    """What the technique found while it was applied. Each technique chooses its own keys."""
    model: ModelSummary | None = None
    """The artifact as inspection describes it, without its list of weights. A promotion need not open the file
    again."""
