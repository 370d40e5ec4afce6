"""A job's context that keeps what it is told, for tests that look at progress, lines and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from apps.agents.contracts.job import Job, QuietWait


@dataclass
class Told:
    """An `apps.agents.contracts.context.Context`; with a `job`, as much of a `JobContext` as a handler needs."""

    job: Job | None = None
    fractions: list[float] = field(default_factory=list)
    etas_s: list[float | None] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """The steps and values of each curve, in order."""
    checkpoint: Path | None = None
    kept: list[bytes] = field(default_factory=list)
    """The bytes of each checkpoint, in order."""

    @property
    def out(self) -> Path:
        assert self.job is not None
        folder = self.job.scratch / "out"
        folder.mkdir(exist_ok=True)
        return folder

    def progress(
        self, fraction: float, message: str, eta_s: float | None = None, *, quiet_wait: QuietWait | None = None
    ) -> None:
        self.fractions.append(fraction)
        self.etas_s.append(eta_s)

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None:
        self.lines.append(message)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self.metrics[name] = value
        if step is not None:
            self.curves.setdefault(name, []).append((step, value))

    def keep_checkpoint(self, file: Path) -> None:
        self.kept.append(file.read_bytes())
        file.unlink()


class Killed(Exception):
    """What a test raises in the middle of a training."""


@dataclass
class Killing(Told):
    """Ends the work after its second checkpoint, or another one."""

    last: int = 2

    def keep_checkpoint(self, file: Path) -> None:
        super().keep_checkpoint(file)
        if len(self.kept) == self.last:
            raise Killed
