"""LiteRT as an evaluation wants it (`apps.agents.runners.Engine`)."""

from __future__ import annotations

from pathlib import Path

from apps.agents.backends.litert import runtime
from apps.agents.backends.litert.flatbuffer import LiteRtFile, read_litert
from apps.agents.criteria import Target
from apps.agents.reports import ModelSummary
from apps.agents.runners import Feeds, Run


class LiteRtEngine:
    """A `.tflite` file where it lies."""

    encoder: None = None
    """The file carries no tokenizer."""

    def __init__(self, model: Path, scratch: Path) -> None:
        self._model = model
        self.file: LiteRtFile = read_litert(model)
        self.summary: ModelSummary = self.file.summary()

    def session(self, target: Target) -> Run:
        return runtime.Session(self.file, self._model, target)

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        return runtime.peak_memory(self._model, feeds, target).peak_bytes
