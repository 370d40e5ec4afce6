"""The context of a technique's `apply`, whose progress is a part of the whole step's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from apps.agents.contracts.context import Context

APPLY_BEGINS, APPLY_ENDS = 0.1, 0.85
"""The part of the progress bar for `apply`."""


@dataclass(frozen=True)
class ApplyContext:
    """The context for `apply`: its progress from 0 to 1 fills a part of the whole bar."""

    whole: Context
    label: str

    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None:
        scaled = APPLY_BEGINS + (APPLY_ENDS - APPLY_BEGINS) * min(1.0, max(0.0, fraction))
        self.whole.progress(scaled, f"{self.label}: {message}", eta_s)

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self.whole.log(message, level)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self.whole.metric(name, value, step)

    @property
    def checkpoint(self) -> Path | None:
        return self.whole.checkpoint

    def keep_checkpoint(self, file: Path) -> None:
        self.whole.keep_checkpoint(file)
