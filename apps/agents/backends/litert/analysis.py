"""Looks inside a TensorFlow Lite model (`analysis.engine.AnalysisEngine`): its operators, and which tolerate 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from apps.agents.analysis.engine import LayerTime, Sensitivity, Tell
from apps.agents.backends.litert.cost import macs
from apps.agents.backends.litert.engine import LiteRtEngine
from apps.agents.backends.litert.runtime import shapes_of
from apps.agents.backends.litert.sensitivity import measure_sensitivity
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.errors.techniques import TechniqueLibraryFailed
from apps.agents.contracts.reports.analysis import Layer
from apps.agents.measuring.engine import Feeds, Run

_UNTIMED = "LiteRT does not time single operators, so the shares of the time are estimated from multiply-accumulates."


class LiteRtAnalysisEngine(LiteRtEngine):
    """Layers are the file's operators, named after their first output, as in the techniques' `keep_float_nodes`."""

    def __init__(self, model: Path, scratch: Path, signature: str | None = None) -> None:
        super().__init__(model, scratch, signature)
        self._notes: list[str] = []

    def layers(self, batches: Sequence[Feeds], examples: int | None = None) -> tuple[Layer, ...]:
        shapes, longest = self._shapes(batches)
        return tuple(
            Layer(
                name=self.file.name_of(operator),
                op_type=operator.op_type,
                parameters=sum(tensor.elements for tensor in self.file.weights_of(operator)),
                weight_bytes=sum(tensor.stored_bytes for tensor in self.file.weights_of(operator)),
                macs=macs(operator, shapes, examples or longest),
                depthwise=operator.op_type == "DEPTHWISE_CONV_2D",
            )
            for operator in self.file.operators
        )

    def times(self, feeds: Feeds, target: Target) -> Mapping[str, LayerTime]:
        self._notes.append(_UNTIMED)
        return {}

    def sensitivity(
        self, batches: Sequence[Feeds], order: Sequence[str], *, budget_s: float, tell: Tell
    ) -> Sensitivity:
        try:
            return measure_sensitivity(self.path.read_bytes(), self.file, batches, order, budget_s=budget_s, tell=tell)
        except (ModelRunFailed, TechniqueLibraryFailed) as error:
            return Sensitivity(notes=[f"Quantization sensitivity is not measured: {error.context['reason']}."])

    def generation(self, feeds: Feeds, target: Target) -> None:
        """`None`: the file does not keep a cache of what it has read, so token-by-token generation is not measured."""

    def modes(self, target: Target) -> Sequence[tuple[str, Run]]:
        """Empty: the runtime has only one mode."""
        return ()

    def hindrances(self, batches: Sequence[Feeds]) -> Mapping[str, str]:
        """Whether a technique finds something to change shows when it is applied."""
        return {}

    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def _shapes(self, batches: Sequence[Feeds]) -> tuple[Mapping[int, tuple[int, ...]], int]:
        """The shape of every tensor on the first of `batches`, and its number of examples."""
        if not batches:
            return {}, 1
        try:
            shapes = shapes_of(self.file, self.path, batches[0])
        except ModelRunFailed as error:
            reason = error.context["reason"]
            self._notes.append(
                f"It does not run on calibration examples, so multiply-accumulates are unknown: {reason}."
            )
            return {}, 1
        return shapes, max((len(array) for array in batches[0].values() if array.ndim), default=1)
