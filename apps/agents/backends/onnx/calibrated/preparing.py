"""What the techniques of this package share: the prepared graph with its weights, and calibration examples to run."""

from __future__ import annotations

from pathlib import Path

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.calibrated.layers import Graph
from apps.agents.backends.onnx.graph import prepare_to_quantize
from apps.agents.backends.onnx.normalization import normalized
from apps.agents.backends.onnx.runtime import ONE_PROTOBUF_BYTES
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import (
    TechniqueNotApplicable,
    TechniqueParameters,
    TechniqueQuantizedModel,
    TechniqueWithoutCalibration,
)
from apps.agents.techniques.base import Assignment, BaseOptimizationAgent
from apps.agents.techniques.reduction import quantized


class CalibratedAgent(BaseOptimizationAgent):
    """A technique that changes the float weights of the prepared graph and leaves them in float."""

    graph: Graph
    prepared: Path

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also prepares the graph. Raises `TechniqueQuantizedModel`, `TechniqueWithoutCalibration`,
        `TechniqueNotApplicable` for a model too large for one file, and `TechniqueParameters` for names that the graph
        does not have."""
        super().check(assignment, context)
        if how := quantized(assignment.engine().summary):
            raise TechniqueQuantizedModel(technique=assignment.spec.label, how=how)
        if not len(assignment.dataset.calibration_indices):
            raise TechniqueWithoutCalibration(technique=assignment.spec.label)
        model = files.open_model(assignment.model, assignment.scratch)
        rewritten = normalized(model, assignment.scratch, widen=True)
        self.prepared = prepare_to_quantize(model, rewritten, assignment.scratch, context)
        if files.size_bytes(self.prepared) > ONE_PROTOBUF_BYTES:
            reason = f"it is larger than {ONE_PROTOBUF_BYTES / 1e9:.1f} GB, more than one protobuf can be changed in"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        self.graph = Graph(files.load_proto(self.prepared))
        names = {node.name for node in self.graph.proto.graph.node}
        if unknown := sorted(set(assignment.parameters.get("keep_float_nodes", ())) - names):
            reason = f"the graph does not have the nodes {', '.join(unknown[:5])} to leave as they are"
            raise TechniqueParameters(reason=reason, field="parameters")
