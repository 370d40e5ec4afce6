"""Low-rank decomposition of an ONNX file without training: measures its layers, chooses ranks, and replaces them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import ModelProto

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.decomposition.inputs import spreads
from apps.agents.backends.onnx.decomposition.layers import Layers, Shapes, layers_of
from apps.agents.backends.onnx.decomposition.measuring import OnnxMeasurer
from apps.agents.backends.onnx.decomposition.refit import Refit
from apps.agents.backends.onnx.decomposition.surgery import replaced
from apps.agents.backends.onnx.decomposition.timing import LayerTimer
from apps.agents.backends.onnx.flow import flow_of
from apps.agents.backends.onnx.graph_check import check_graph
from apps.agents.backends.onnx.normalization import normalized
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.backends.onnx.split_model import fold
from apps.agents.backends.onnx.workload import costs_of, workload
from apps.agents.techniques.base import Assignment
from apps.agents.techniques.decomposition.agent import CompressionAgent, FittedFactor, Plan, Tell
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spread import Spread
from apps.agents.techniques.reduction import Workload


class Decomposition(CompressionAgent):
    """Replaces convolutions and matrix products of a folded graph."""

    _proto: ModelProto
    _shapes: Shapes
    _layers: Layers
    _whole: Workload

    def open(self, assignment: Assignment) -> None:
        folder = Path(tempfile.mkdtemp(prefix="decomposition-", dir=assignment.scratch))
        folded = fold(
            normalized(files.open_model(assignment.model, assignment.scratch), folder), folder / "folded.onnx"
        )
        feeds = next(assignment.batches(1, 1))
        rows = assignment.dataset.layout.rows(feeds)
        costs, self._shapes = costs_of(folded, feeds, rows)
        self._proto, self._whole = files.load_proto(folded), workload(costs)
        self._layers = layers_of(self._proto, self._shapes, rows)

    def layers(self) -> tuple[Sequence[DenseLayer], Mapping[str, str]]:
        return [layer.dense for layer in self._layers.found], self._layers.left

    def whole(self) -> Workload:
        return self._whole

    def spreads(self, assignment: Assignment) -> Iterator[Spread]:
        return spreads(self._proto, self._layers.found, flow_of(assignment), assignment.seed)

    def measurer(self, assignment: Assignment) -> OnnxMeasurer:
        by_name = {layer.name: layer for layer in self._layers.found}
        timer = LayerTimer(self._proto, self._shapes, assignment.threads)
        return OnnxMeasurer(self._proto, by_name, timer, flow_of(assignment))

    def make(self, assignment: Assignment, plan: Plan, tell: Tell) -> tuple[Path, list[FittedFactor]]:
        """Biases that keep the outputs' means are fitted with the last factors, if those are."""
        measurer, fits = self.measurer(assignment), bool(assignment.parameters["refit"])
        made = {
            name: measurer.replacement(plan.chooser.factorizer(name), plan.chooser.factors(name, option))
            for name, option in plan.choice.replaced.items()
        }
        if fits:
            made = {name: replace(one, shift=np.zeros_like(one.shift)) for name, one in made.items()}
        proto = replaced(self._proto, made)
        fitted: list[FittedFactor] = []
        if fits:
            ridge = float(assignment.parameters["ridge"])
            refit = Refit(self._proto, proto, flow_of(assignment), ridge, assignment.seed)
            fitted = refit.run([layer for layer in self._layers.found if layer.name in made], tell)
        check_graph(proto, assignment.spec.label)
        return save_artifact(proto, assignment.out), fitted

    def recount(self, assignment: Assignment, artifact: Path) -> Workload:
        """Counted on the artifact, folded like the input model."""
        folder = Path(tempfile.mkdtemp(prefix="recount-", dir=assignment.scratch))
        folded = fold(files.open_model(artifact, folder), folder / "folded.onnx")
        feeds = next(assignment.batches(1, 1))
        costs, _ = costs_of(folded, feeds, assignment.dataset.layout.rows(feeds))
        return workload(costs)
