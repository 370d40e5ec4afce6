"""Carries the technique out, in a child process of a worker."""

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.contracts.context import Context
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent


class Palette(BaseOptimizationAgent):
    """Replaces weights by numbers of values in a table. ONNX Runtime looks them up once, when it loads the model."""

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        proto = files.load_proto(files.open_model(assignment.model, assignment.scratch))
        weights = _weights(proto, assignment.spec.acts_on, assignment.parameters["keep_float_nodes"])
        for done, tensor in enumerate(weights, start=1):
            _put_in_table(proto, tensor, assignment.parameters["values"], assignment.parameters["spacing"])
            context.progress(done / len(weights), f"{tensor.name} has its table")
        return Applied(save_artifact(proto, assignment.out), {"tables": len(weights)})


def _weights(proto: ModelProto, op_types: tuple[str, ...], kept: list[str]) -> list[TensorProto]:
    """The float matrices and kernels that these types of operators read, unless a node that is kept reads them too."""
    nodes = proto.graph.node
    read = {name for node in nodes if node.op_type in op_types for name in node.input}
    spared = {name for node in nodes if node.name in kept for name in node.input}
    return [
        tensor
        for tensor in proto.graph.initializer
        if tensor.name in read - spared and tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1
    ]


def _put_in_table(proto: ModelProto, tensor: TensorProto, values: int, spacing: str) -> None:
    weights = numpy_helper.to_array(tensor)
    steps = np.linspace(0, 1, values)
    table = np.quantile(weights, steps) if spacing == "quantiles" else weights.min() + steps * np.ptp(weights)
    table = np.unique(table.astype(np.float32))
    numbers = np.searchsorted((table[1:] + table[:-1]) / 2, weights).astype(np.uint8)

    name, graph = tensor.name, proto.graph
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(table, f"{name}_table"))
    graph.initializer.append(numpy_helper.from_array(numbers, f"{name}_numbers"))
    # Gather takes no 8-bit numbers, so they are widened first.
    widen = helper.make_node("Cast", [f"{name}_numbers"], [f"{name}_places"], f"{name}_widen", to=TensorProto.INT32)
    look_up = helper.make_node("Gather", [f"{name}_table", f"{name}_places"], [name], f"{name}_look_up")
    graph.node.insert(0, look_up)
    graph.node.insert(0, widen)
