"""Runs an ONNX graph in PyTorch. Its weights are parameters, shared where the graph shares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto
from torch import Tensor, nn

# Each module adds its operators.
from apps.agents.backends.torch.onnx_graph import elementwise, layers, resizing, shapes  # noqa: F401
from apps.agents.backends.torch.onnx_graph.operators import OPERATORS, STANDARD, TYPES, Call, call_of, tensor_of
from apps.agents.backends.torch.onnx_graph.weights import STATISTICS, layer_weights, weights_of

_NORM = "BatchNormalization"


@dataclass(frozen=True)
class Step:
    """One node: its inputs and outputs by name, and the names that nothing reads after it."""

    call: Call
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...]


class Norm(nn.modules.batchnorm._BatchNorm):  # type: ignore[misc, unused-ignore]
    """The statistics of a batch norm, which learn in training mode."""

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        super().__init__(mean.numel(), affine=False)
        self.running_mean, self.running_var = mean, variance

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Any number of axes."""


class GraphModule(nn.Module):  # type: ignore[misc, unused-ignore]
    """The graph of `model`, whose external data is loaded. Takes and returns tensors by the graph's names.

    Raises `OperatorNotRebuilt` for what cannot be run here; what depends on a node's input is refused when it runs.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__()
        graph = model.graph
        opset = next((one.version for one in model.opset_import if one.domain in STANDARD), 1)
        stored = {tensor.name: tensor for tensor in graph.initializer}
        self.types = {
            one.name: TYPES[one.type.tensor_type.elem_type]
            for one in graph.input
            if one.name not in stored and one.type.tensor_type.elem_type in TYPES
        }
        self.outputs = [one.name for one in graph.output]
        self.places: dict[str, str] = {}
        """The name here of each weight of the graph."""
        for name in weights_of(graph):
            self.places[name] = f"weight_{len(self.places)}"
            self.register_parameter(self.places[name], nn.Parameter(tensor_of(stored[name]), requires_grad=False))
        self.constants: dict[str, str] = {}
        self.small: dict[str, Tensor] = {}
        """Whole numbers and single ones, which stay on the CPU: most of them are shapes."""
        for name, tensor in stored.items():
            if name not in self.places and tensor.data_type in TYPES:
                self._keep(name, tensor_of(tensor))
        self.norms = nn.ModuleDict()
        self.statistics: dict[str, tuple[str, str]] = {}
        """The names in the graph of the mean and the variance of each of `norms`."""
        self._norm_of: dict[str, str] = {}
        """The key in `norms` by the name of the mean."""
        self.steps = self._steps(graph, opset)
        self._layers = sorted(layer_weights(graph) & self.places.keys())

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """The graph's outputs by name, in its order. `inputs` are its inputs by name."""
        values = {name: inputs[name].to(dtype) for name, dtype in self.types.items()}
        values |= self.small
        values |= {name: self.get_buffer(place) for name, place in self.constants.items()}
        values |= {name: self.get_parameter(place) for name, place in self.places.items()}
        for step in self.steps:
            self._run(step, values)
        return {name: values[name] for name in self.outputs}

    def layer_weights(self) -> dict[str, nn.Parameter]:
        """The weights of convolutions and matrix products, by the graph's names."""
        return {name: self.get_parameter(self.places[name]) for name in self._layers}

    def values(self) -> dict[str, NDArray[np.generic]]:
        """The weights and statistics that training may have changed, by the graph's names."""
        found: dict[str, Any] = {name: self.get_parameter(place) for name, place in self.places.items()}
        for key, (mean, variance) in self.statistics.items():
            found |= {mean: self.norms[key].running_mean, variance: self.norms[key].running_var}
        return {name: tensor.detach().cpu().numpy() for name, tensor in found.items()}

    # --- building -----------------------------------------------------------------------------------------------------

    def _keep(self, name: str, tensor: Tensor) -> None:
        """A stored tensor that is not a weight."""
        if tensor.is_floating_point() and tensor.numel() > 1:
            self.constants[name] = f"constant_{len(self.constants)}"
            self.register_buffer(self.constants[name], tensor, persistent=False)
        else:
            self.small[name] = tensor

    def _steps(self, graph: GraphProto, opset: int) -> list[Step]:
        last = {name: place for place, node in enumerate(graph.node) for name in node.input}
        fed = {one.name for one in graph.input} - self.types.keys()
        unknown = (fed | {one.name for one in graph.initializer}) - self.places.keys() - self.small.keys()
        unknown = (unknown - self.constants.keys()) | {one.values.name for one in graph.sparse_initializer}
        steps = []
        for place, node in enumerate(graph.node):
            call = call_of(node, opset)
            if strange := sorted(unknown & set(node.input)):
                raise call.refused(f"{strange[0]} has a number type that PyTorch does not have, or is sparse")
            if node.op_type == "Constant":
                made = OPERATORS[node.op_type].function(call)
                assert isinstance(made, Tensor)
                self._keep(node.output[0], made)
                continue
            if node.op_type == _NORM:
                self._add_norm(node, call)
            done = {name for name in node.input if last[name] == place} - set(self.outputs)
            steps.append(Step(call, tuple(node.input), tuple(node.output), tuple(sorted(done))))
        return steps

    def _add_norm(self, node: NodeProto, call: Call) -> None:
        """Its statistics become buffers that learn; two norms with the same statistics share them."""
        mean, variance = names = tuple(node.input[place] for place in STATISTICS)
        if names in self.statistics.values():
            return
        taken_already = {name for pair in self.statistics.values() for name in pair} | self.places.keys()
        if taken_already & set(names):
            raise call.refused("another operator reads one of its two statistics as something else")
        if not (self.constants.keys() | self.small.keys()).issuperset(names):
            raise call.refused("its statistics are computed, not stored")
        key = f"norm_{len(self.statistics)}"
        taken = [self._constant(name).reshape(-1).clone() for name in (mean, variance)]
        self.norms[key] = Norm(*taken)
        self.statistics[key], self._norm_of[mean] = (mean, variance), key

    def _constant(self, name: str) -> Tensor:
        return self.small[name] if name in self.small else self.get_buffer(self.constants[name])

    # --- running ------------------------------------------------------------------------------------------------------

    def _run(self, step: Step, values: dict[str, Tensor]) -> None:
        call, known = step.call, OPERATORS[step.call.op_type]
        given: list[Any] = _on_one_device([values[name] if name else None for name in step.inputs], known.sizes)
        if call.op_type == _NORM:
            norm = self.norms[self._norm_of[step.inputs[STATISTICS[0]]]]
            given = [*given[:3], norm.running_mean, norm.running_var, norm.training]
        made = known.function(call, *given)
        outputs = (made,) if isinstance(made, Tensor) else made
        for place, name in enumerate(step.outputs):
            if name and place >= len(outputs):
                raise call.refused(f"its output {name} is not computed here")
            if name:
                values[name] = outputs[place]
        for name in step.done:
            values.pop(name, None)


def _on_one_device(given: list[Tensor | None], sizes: frozenset[int]) -> list[Tensor | None]:
    """The inputs on the device of the first that is not on the CPU, without those that are read as numbers."""
    device = next((one.device for one in given if one is not None and one.device.type != "cpu"), None)
    if device is None:
        return given
    return [
        one.to(device) if one is not None and one.ndim and place not in sizes else one
        for place, one in enumerate(given)
    ]
