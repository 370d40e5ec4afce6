"""A model split for experiments: a graph without weights, and the weights.

Each experiment changes a few nodes. Copying and serializing a graph without its weights takes milliseconds, and a
session receives the weights from memory, so a variant of a 90 MB model costs little more than one of 90 kB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from apps.agents.backends.onnx import files, runtime
from apps.agents.backends.onnx.runtime import RUNTIME_ERRORS, reason_of
from apps.agents.contracts.criteria import Device
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.files.onnx_files import subgraphs

Array = NDArray[Any]

STAYS_INSIDE_BYTES = 1024
"""Smaller tensors stay in the graph: they contain shapes and scalars that the runtime needs early."""
_IN_MEMORY = "in-memory"


def fold(model: Path, target: Path) -> Path:
    """Write `model` to `target` with constants folded and batch norms and similar operators merged into their
    neighbours.

    It computes the same. What the runtime fuses anyway is fused, so that experiments see the layers that will run.
    Nodes get unique names. Raises `ModelNotLoadable`.
    """
    options = runtime.session_options(threads=1)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    runtime.save_optimized(options, target, files.size_bytes(model))
    if len(files.model_files(model)) > 1:  # Otherwise the saved graph would look for the weights in its own folder.
        key = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(key, f"{target.name}.data")
    runtime.open_session(model, options=options)
    proto = onnx.load(str(target), load_external_data=False)
    if name_nodes(proto.graph.node):
        onnx.save(proto, str(target))
    return target


def name_nodes(nodes: Iterable[NodeProto]) -> int:
    """Give nodes without a name, or with a duplicate, a unique one: type and index. Returns how many changed."""
    seen: set[str] = set()
    changed = 0
    for index, node in enumerate(nodes):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
            changed += 1
        seen.add(node.name)
    return changed


class SplitModel:
    """One opened model. `proto` is its graph without weights: copy it, change the copy, and run it with `session`."""

    def __init__(self, model: Path, *, threads: int) -> None:
        self.threads = threads
        self.proto: ModelProto = files.load_proto(model, weights=False)
        name_nodes(self.proto.graph.node)
        self.weights: dict[str, Array] = {}
        """Tensors that were taken out, by name."""
        for tensor in self.proto.graph.initializer:
            self._take_out(tensor, model.parent)
        self._values = {name: _value(array) for name, array in self.weights.items()}

    def _take_out(self, tensor: TensorProto, folder: Path) -> None:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        # Only numpy's own types can be passed separately; others (bfloat16, float8, int4) and small tensors stay
        # inside.
        movable = dtype.kind in "fiu" and dtype.isbuiltin == 1
        if not movable or math.prod(tensor.dims) * dtype.itemsize < STAYS_INSIDE_BYTES:
            files.bring_inside(tensor, folder)
            return
        self.weights[tensor.name] = np.ascontiguousarray(numpy_helper.to_array(tensor, str(folder)))
        tensor.CopyFrom(stub(tensor.name, self.weights[tensor.name].shape, tensor.data_type))

    def array(self, name: str) -> Array | None:
        """The stored tensor `name`, inside or outside the graph; `None` if there is none of that name."""
        if name in self.weights:
            return self.weights[name]
        found = next((tensor for tensor in self.proto.graph.initializer if tensor.name == name), None)
        return None if found is None else numpy_helper.to_array(found)

    def copy(self) -> ModelProto:
        """A copy of the graph to change."""
        copied = ModelProto()
        copied.CopyFrom(self.proto)
        return copied

    def session(self, proto: ModelProto, added: Mapping[str, Array] | None = None) -> ort.InferenceSession:
        """A session of a changed copy, without optimizations. `added` are the values of new stubs.

        Stored tensors that are no longer read are removed from `proto`. Raises `ModelNotLoadable`.
        """
        _drop_unread(proto.graph)
        options = runtime.session_options(self.threads, optimize=False)
        values = self._values | {name: _value(array) for name, array in (added or {}).items()}
        used = [tensor.name for tensor in proto.graph.initializer if tensor.name in values]
        try:
            options.add_external_initializers(used, [values[name] for name in used])
        except RUNTIME_ERRORS as error:
            raise ModelNotLoadable(reason=reason_of(error)) from error
        return runtime.open_session(proto.SerializeToString(), options=options, device=Device.CPU)


def names_read(node: NodeProto) -> Iterator[str]:
    """The names that a node reads, including those read by its inner graphs, which see the surrounding names."""
    yield from node.input
    for graph in subgraphs(node):
        yield from (output.name for output in graph.output)
        for inner in graph.node:
            yield from names_read(inner)


def _drop_unread(graph: GraphProto) -> None:
    """Remove unread tensors. The runtime drops them while loading, and then rejects the values passed for them."""
    read = {name for node in graph.node for name in names_read(node)} | {output.name for output in graph.output}
    unread = [index for index, tensor in enumerate(graph.initializer) if tensor.name not in read]
    for index in reversed(unread):
        del graph.initializer[index]


def stub(name: str, shape: Sequence[int], data_type: int) -> TensorProto:
    """A stored tensor whose value is passed with the session."""
    tensor = TensorProto(name=name, data_type=data_type, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=_IN_MEMORY)
    return tensor


def _value(array: Array) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(array)
