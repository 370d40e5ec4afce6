"""Weight clustering of ONNX files: the stored weights of each tensor share a few values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.normalization import normalized
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.files.onnx_files import all_graphs
from apps.agents.techniques.base import Assignment
from apps.agents.techniques.clustering.agent import ClusteringAgent
from apps.agents.techniques.clustering.k_means import Floats

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16})
_LEAST_AXES = 2


class WeightClustering(ClusteringAgent):
    """Weights are initializers and the values of `Constant` nodes, of the graph and of its branches and loops."""

    _proto: ModelProto
    _operators: frozenset[str]

    def open(self, assignment: Assignment) -> None:
        model = files.open_model(assignment.model, assignment.scratch)
        self._proto = files.load_proto(normalized(model, assignment.scratch))
        self._operators = frozenset(assignment.spec.acts_on)

    def layers(self) -> frozenset[str]:
        return frozenset(node.name for graph in all_graphs(self._proto.graph) for node in graph.node)

    def tensors(self, kept: frozenset[str]) -> Iterator[tuple[str, Floats]]:
        for tensor in self._weights(kept):
            yield tensor.name, numpy_helper.to_array(tensor)

    def store(self, weights: Mapping[str, Floats]) -> None:
        for tensor in self._weights(frozenset()):
            if tensor.name in weights:
                tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weights[tensor.name]), tensor.name))

    def save(self, assignment: Assignment) -> Path:
        return save_artifact(self._proto, assignment.out)

    def reopen(self, assignment: Assignment, artifact: Path) -> None:
        self._proto = files.load_proto(files.open_model(artifact, assignment.scratch))

    def _weights(self, kept: frozenset[str]) -> Iterator[TensorProto]:
        """The tensors that operators with weights read, in the file's order; none that a node in `kept` reads."""
        graphs = list(all_graphs(self._proto.graph))
        nodes = [node for graph in graphs for node in graph.node]
        read = {name for node in nodes if node.op_type in self._operators for name in node.input}
        spared = {name for node in nodes if node.name in kept for name in node.input}
        for graph in graphs:
            for tensor in _stored(graph):
                wanted = tensor.name in read - spared
                if wanted and tensor.data_type in _FLOATS and len(tensor.dims) >= _LEAST_AXES and 0 not in tensor.dims:
                    yield tensor


def _stored(graph: GraphProto) -> Iterator[TensorProto]:
    """Initializers, and the values of constants under the names of their outputs."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            for given in node.attribute:
                if given.name == "value":
                    given.t.name = node.output[0]
                    yield given.t
