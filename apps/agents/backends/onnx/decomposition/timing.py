"""Times a layer and what may replace it in turns in this process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike
from onnx import ModelProto, NodeProto, helper
from onnxruntime import InferenceSession

from apps.agents.backends.onnx import runtime
from apps.agents.backends.onnx.decomposition.layers import OnnxLayer, Shapes
from apps.agents.backends.onnx.decomposition.surgery import Piece, Replacement, piece
from apps.agents.techniques.decomposition.factors import Factors

ROUNDS = 25
"""The most runs of each."""
LEAST_ROUNDS = 7
BUDGET_S = 0.6
"""After this time, no further round is begun."""


@dataclass(frozen=True)
class LayerTimer:
    """Times single layers of a graph with the input of one example."""

    proto: ModelProto
    shapes: Shapes
    """Of a run with one example, or with the model's fixed batch."""
    threads: int = 1

    def times_ms(self, layer: OnnxLayer, factors: Sequence[Factors]) -> list[float]:
        """Median times of the layer itself, and of each of its factors."""
        still = np.zeros(layer.dense.outputs)
        pieces = [self._own(layer), *(piece(Replacement(layer, one, still)) for one in factors)]
        sessions = [self._session(layer, one) for one in pieces]
        random = np.random.default_rng(0)
        feeds = {layer.source: random.normal(size=self.shapes[layer.source]).astype(self._dtype(layer))}
        taken: list[list[int]] = [[] for _ in sessions]
        began = time.perf_counter()
        for number in range(ROUNDS + 1):
            for session, times in zip(sessions, taken, strict=True):
                times.append(self._once(session, feeds))
            if number >= LEAST_ROUNDS and time.perf_counter() - began > BUDGET_S:
                break
        return [float(np.median(times[1:])) / 1e6 for times in taken]

    def _once(self, session: InferenceSession, feeds: runtime.Feeds) -> int:
        """Nanoseconds: of this thread alone, which other programs cannot lengthen, where it does all of the work."""
        clock = time.thread_time_ns if self.threads == 1 else time.perf_counter_ns
        start = clock()
        runtime.run(session, feeds)
        return clock() - start

    def _own(self, layer: OnnxLayer) -> Piece:
        node = NodeProto()
        node.CopyFrom(layer.node)
        return [node], [one for one in self.proto.graph.initializer if one.name in node.input]

    def _session(self, layer: OnnxLayer, one: Piece) -> InferenceSession:
        nodes, tensors = one
        model = ModelProto(ir_version=self.proto.ir_version, opset_import=self.proto.opset_import)
        model.graph.name = "layer"
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(tensors)
        shape = self.shapes[layer.source]
        model.graph.input.append(helper.make_tensor_value_info(layer.source, layer.data_type, shape))
        model.graph.output.append(helper.make_tensor_value_info(layer.target, layer.data_type, None))
        return runtime.open_session(model.SerializeToString(), threads=self.threads)

    @staticmethod
    def _dtype(layer: OnnxLayer) -> DTypeLike:
        found: DTypeLike = helper.tensor_dtype_to_np_dtype(layer.data_type)
        return found
