"""Stores the weights of convolutions and matrix products in 4 bits (or 3 of them); activations stay in float.

Each weight becomes an INT4 tensor and a DequantizeLinear with a scale for each output channel, which the runtime
computes when the model runs. Weights that already lie on such a grid (after GPTQ or AdaRound) keep it exactly; others
are rounded to nearest, and their biases are corrected on calibration examples.
"""

from __future__ import annotations

from dataclasses import asdict

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.calibrated.bias_correction import Correction, corrections
from apps.agents.backends.onnx.calibrated.kept_grids import coarse_steps
from apps.agents.backends.onnx.calibrated.layers import Graph, WeightedLayer, without_bias
from apps.agents.backends.onnx.calibrated.weight_grid import rounding_grid
from apps.agents.backends.onnx.flow import flow_of
from apps.agents.backends.onnx.nodes import WEIGHTED
from apps.agents.backends.onnx.runtime import ONE_PROTOBUF_BYTES
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.backends.onnx.technique import OnnxQuantization, drop_unread, kept_nodes
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.base import Applied, Assignment

_STORED_BITS = 4
_MICROSOFT = "com.microsoft"
"""This domain's DequantizeLinear works with every opset; ONNX's own takes INT4 since opset 21."""
_INT4_SINCE_IR = 10


class LowBits(OnnxQuantization):
    """Weights in 3 or 4 bits, one scale per output channel. Biases after Nagel et al. 2019, arXiv 1906.04721."""

    _kept: int
    _corrected: list[Correction]

    @property
    def operators(self) -> frozenset[str]:
        return WEIGHTED

    def bits(self, assignment: Assignment) -> float:
        return _STORED_BITS

    def check(self, assignment: Assignment, context: Context) -> None:
        """Raises `TechniqueNotApplicable` for a model too large for one file."""
        super().check(assignment, context)
        if files.size_bytes(self.prepared) > ONE_PROTOBUF_BYTES:
            reason = f"it is larger than {ONE_PROTOBUF_BYTES / 1e9:.1f} GB, more than one protobuf can be changed in"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        graph = Graph(files.load_proto(self.prepared))
        graph.give_biases(without_bias(graph))
        graph = graph.copy()
        kept = set(kept_nodes(assignment))
        layers = [layer for layer in graph.layers if layer.name not in kept]
        bits, rounded = int(assignment.parameters["bits"]), graph.copy()
        steps = {layer.name: _steps(graph, layer, bits) for layer in layers}
        self._kept = sum(on_grid for _, on_grid in steps.values())
        for layer in layers:
            step, _ = steps[layer.name]
            rounded.store(layer.weight, _codes(graph, layer, step, bits) * _along(layer, step))
        self._corrected = []
        if assignment.parameters["correct_biases"] and self._kept < len(layers):
            _, self._corrected = corrections(
                graph, rounded, flow_of(assignment), lambda share, what: context.progress(0.9 * share, what)
            )
        for layer in layers:
            step, _ = steps[layer.name]
            _store_narrow(rounded.proto, layer, _codes(graph, layer, step, bits), step)
        _finish(rounded.proto)
        evidence = {
            "bits": bits,
            "layers": len(layers),
            "layers_on_grid": self._kept,
            "corrections": [asdict(one) for one in self._corrected],
        }
        return Applied(save_artifact(rounded.proto, assignment.out), evidence)

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        sentence = super().effect(assignment, before, after)
        if self._kept:
            sentence += f" {self._kept} layers were on such a grid already and kept it."
        if self._corrected:
            largest = max(one.largest for one in self._corrected)
            sentence += f" Biases of {len(self._corrected)} layers were corrected by up to {largest:.2g} deviations."
        return sentence


def _steps(graph: Graph, layer: WeightedLayer, bits: int) -> tuple[NDArray[np.float32], bool]:
    """The step of each output channel, and whether the weights lie on this grid already."""
    weight = graph.array(layer.weight)
    found = coarse_steps(weight.astype(np.float32), layer.axis, most=2 ** (bits - 1) - 1)
    if found is not None:
        return found, True
    return rounding_grid(layer.rows(weight), bits).steps.reshape(-1).astype(np.float32), False


def _along(layer: WeightedLayer, step: NDArray[np.float32]) -> Matrix:
    """Steps in a form that multiplies the stored weight."""
    shape = [1] * len(layer.shape)
    shape[layer.axis] = -1
    return step.reshape(shape).astype(np.float64)


def _codes(graph: Graph, layer: WeightedLayer, step: NDArray[np.float32], bits: int) -> Matrix:
    most = 2 ** (bits - 1) - 1
    return np.asarray(np.clip(np.rint(graph.array(layer.weight) / _along(layer, step)), -most, most))


def _store_narrow(proto: ModelProto, layer: WeightedLayer, codes: Matrix, step: NDArray[np.float32]) -> None:
    """Replace a stored weight by its codes in INT4, their scales, and a node that multiplies them."""
    place, node = next((place, node) for place, node in enumerate(proto.graph.node) if node.name == layer.name)
    narrow, scale, wide = (f"{layer.weight}/{what}" for what in ("int4", "scale", "restored"))
    stored = numpy_helper.from_array(np.ascontiguousarray(codes.astype(ml_dtypes.int4)), narrow)
    assert stored.data_type == TensorProto.INT4
    proto.graph.initializer.extend([stored, numpy_helper.from_array(step, scale)])
    restore = helper.make_node(
        "DequantizeLinear", [narrow, scale], [wide], name=f"{layer.name}/restore", domain=_MICROSOFT, axis=layer.axis
    )
    node.input[1] = wide
    proto.graph.node.insert(place, restore)


def _finish(proto: ModelProto) -> None:
    drop_unread(proto)
    proto.ir_version = max(proto.ir_version, _INT4_SINCE_IR)
    if all(opset.domain != _MICROSOFT for opset in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
