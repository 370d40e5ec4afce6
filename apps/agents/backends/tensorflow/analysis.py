"""Looks inside a TensorFlow model (`analysis.engine.AnalysisEngine`): its layers, and its speed with XLA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from apps.agents.analysis.engine import LayerTime, Sensitivity, Tell
from apps.agents.backends.tensorflow import cost
from apps.agents.backends.tensorflow.engine import TensorFlowEngine
from apps.agents.backends.tensorflow.pruning.anatomy import why_uncuttable
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.analysis import Layer
from apps.agents.measuring.engine import Feeds, Run
from apps.agents.techniques.library_calls import words_of

XLA = "TensorFlow with XLA"
_UNTIMED = (
    "TensorFlow runs the graph as a whole, so single layers are not timed: the shares of the time are estimated from "
    "multiply-accumulates."
)
_ELSEWHERE = "The layers' sensitivity to 8 bits is measured on the exported model, where number types are chosen."


class TensorFlowAnalysisEngine(TensorFlowEngine):
    """Layers are Keras layers or, for a SavedModel, the operators of its graph."""

    def __init__(self, model: Path, scratch: Path, signature: str | None = None) -> None:
        super().__init__(model, scratch, signature)
        self._notes: list[str] = []

    def layers(self, batches: Sequence[Feeds], examples: int | None = None) -> tuple[Layer, ...]:
        shapes = {name: array.shape for name, array in batches[0].items()} if batches else {}
        try:
            return cost.layers(self.model, shapes)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            self._notes.append(f"The graph could not be analysed, so its layers are unknown: {words_of(error, 300)}.")
            return ()

    def times(self, feeds: Feeds, target: Target) -> Mapping[str, LayerTime]:
        self._notes.append(_UNTIMED)
        return {}

    def sensitivity(
        self, batches: Sequence[Feeds], order: Sequence[str], *, budget_s: float, tell: Tell
    ) -> Sensitivity:
        return Sensitivity(notes=[_ELSEWHERE])

    def generation(self, feeds: Feeds, target: Target) -> None:
        """`None`: a graph with one call for a whole sequence cannot generate token by token."""

    def modes(self, target: Target) -> Sequence[tuple[str, Run]]:
        """The same graph compiled by XLA. If XLA cannot compile it, running it raises the error."""
        return ((XLA, self.compiled_session(target)),)

    def hindrances(self, batches: Sequence[Feeds]) -> Mapping[str, str]:
        """Pruning, where none of the channels may be cut."""
        if not self.model.is_keras_3:
            return {}
        reason = why_uncuttable(self.model.keras)
        return {} if reason is None else {"keras-prune": f"No channels of it can be cut: {reason}."}

    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)
