"""What agents need from the job they run in. Tests and scripts can run them without a job."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol


class Context(Protocol):
    """Receives progress: the part of `apps.agents.sandbox.child.JobContext` that agents use."""

    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None: ...

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None: ...

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Report a number; with the `step` of a training at which it was measured, it is a point of a curve."""

    @property
    def checkpoint(self) -> Path | None: ...

    def keep_checkpoint(self, file: Path) -> None: ...
