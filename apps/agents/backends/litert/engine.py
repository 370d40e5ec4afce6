"""LiteRT as the evaluation's engine (`apps.agents.measuring.engine.Engine`)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from apps.agents.backends.litert import runtime
from apps.agents.backends.litert.one_signature import opened
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.measuring.engine import Feeds, Run


class LiteRtEngine:
    """A `.tflite` file at its own path. If it has several signatures, the chosen one is written under `scratch`."""

    encoder: None = None
    """The file does not contain a tokenizer."""

    def __init__(self, model: Path, scratch: Path, signature: str | None = None) -> None:
        self.file, self.path = opened(model, scratch, signature)

    @cached_property
    def summary(self) -> ModelSummary:
        return self.file.summary()

    def session(self, target: Target) -> Run:
        return runtime.Session(self.file, self.path, target)

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        return runtime.peak_memory(self.path, feeds, target)

    def profile(self, feeds: Feeds, target: Target, runs: int) -> None:
        """`None`: the interpreter does not report times of operators to its callers."""
