"""What one optimize step made."""

from __future__ import annotations

from typing import Any

from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.values import Value


class OptimizationResult(Value):
    """What one optimize step made."""

    technique: str
    parameters: dict[str, Any]
    size_bytes: int
    input_size_bytes: int
    digest: str
    """SHA-256 of the artifact."""
    libraries: dict[str, str]
    seed: int
    checks: tuple[str, ...]
    """The validations that passed, one sentence each."""
    sizes: dict[str, int] = {}
    """Bytes of the artifact in other forms (zipped, as TensorFlow Lite), where a technique's gain shows there alone."""
    evidence: dict[str, Any] = {}
    """What the technique found out while it was applied, by names of its own."""
    model: ModelSummary | None = None
    """The artifact as inspection sees it, without the list of its weights: what promotes it need not open it again."""
