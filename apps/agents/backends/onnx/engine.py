"""ONNX Runtime as the evaluation's engine (`apps.agents.measuring.engine.Engine`)."""

from __future__ import annotations

from pathlib import Path

from apps.agents.backends.onnx import files, runtime
from apps.agents.backends.onnx.profile import operator_times
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files import onnx_wire
from apps.agents.measuring.engine import Feeds, Outputs, Run
from apps.agents.measuring.operator_times import OperatorTimes


class OnnxEngine:
    """A model file, or a zip of one with external data, opened under `scratch`."""

    def __init__(self, model: Path, scratch: Path) -> None:
        self._model = files.open_model(model, scratch)
        wire = onnx_wire.read_model(self._model)
        self.summary: ModelSummary = wire.summary(files.used_bytes(self._model, wire))

    encoder: None = None
    """An ONNX file does not contain a tokenizer."""

    def session(self, target: Target) -> Run:
        session = runtime.open_session(self._model, threads=target.threads, device=target.device)

        def run(feeds: Feeds) -> Outputs:
            return list(runtime.run(session, feeds))

        return run

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        return runtime.peak_memory(self._model, feeds, target)

    def profile(self, feeds: Feeds, target: Target, runs: int) -> OperatorTimes:
        return operator_times(self._model, feeds, target, runs=runs)
