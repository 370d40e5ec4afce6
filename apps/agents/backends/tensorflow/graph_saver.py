"""Where checkpoints may be read and written: in a SavedModel's saver, from the file that the loader names.

TensorFlow's loader runs the saver's restoring operator, the signatures, and nodes named in collections. Operators that
only save never run here. See `tensorflow/python/saved_model/load_v1_in_v2.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from apps.agents.backends.tensorflow.graph_operators import CHECKPOINT_REASON, CHECKPOINTS, RESTORING, advice
from apps.agents.backends.tensorflow.graph_walk import Graph, node_of
from apps.agents.contracts.errors.tensorflow_models import GraphTouchesFiles

_SAVERS = "savers"
"""The collection of savers, which names their operators but runs none."""
_PASSING_ON = "Identity"
_REPLACED = "api_implements"
"""Functions with the same value of this attribute may replace each other at run time."""


def refuse_checkpoints(meta: Any, graph: Graph) -> None:
    """Raise `GraphTouchesFiles` for a checkpoint operator that could run for another reason than loading."""
    saver = _Saver(meta, graph)
    for function in saver.touching & saver.restored:
        _refuse(saver.first(function))
    for function in saver.touching:
        if function not in saver.called_by_graph or _REPLACED in graph.functions[function].attr:
            _refuse(saver.first(function))
    for node in saver.touching_nodes:
        if not saver.allows(node):
            _refuse(node if node.op in CHECKPOINTS else saver.first_of(node))


def _refuse(node: Any) -> None:
    raise GraphTouchesFiles(
        operator=node.op, node=node.name[:120], what=CHECKPOINT_REASON, advice=advice(CHECKPOINT_REASON)
    )


@dataclass(frozen=True)
class _Saver:
    """A meta graph from the perspective of its saver."""

    meta: Any
    graph: Graph

    @cached_property
    def touching(self) -> set[str]:
        """Functions that contain a checkpoint operator, or call one that does."""
        holding = (
            name
            for name, function in self.graph.functions.items()
            if any(node.op in CHECKPOINTS for node in function.node_def)
        )
        return self.graph.calling(holding)

    @cached_property
    def touching_nodes(self) -> list[Any]:
        """Checkpoint operators of the graph itself, and calls of functions that contain some."""
        return [
            node
            for node in self.graph.nodes.values()
            if node.op in CHECKPOINTS or not self.touching.isdisjoint(self.graph.calls(node))
        ]

    @cached_property
    def restored(self) -> set[str]:
        """Functions that the loader makes callable, whatever names them in the object graph."""
        objects = self.meta.object_graph_def
        names = set(objects.concrete_functions)
        for node in objects.nodes:
            names.update(node.function.concrete_functions)
            names.add(node.bare_concrete_function.concrete_function_name)
        return names

    @cached_property
    def called_by_graph(self) -> set[str]:
        """Functions that nodes of the graph call, directly or through others."""
        left = [name for node in self.graph.nodes.values() for name in self.graph.calls(node)]
        seen: set[str] = set()
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += self.graph.callees[name]
        return seen

    @cached_property
    def run(self) -> set[str]:
        """Nodes that signatures and collections depend on."""
        held = [value for key, values in self.meta.collection_def.items() if key != _SAVERS for value in _held(values)]
        within = [name for name in self.after_touching if any(name.encode() in value for value in held)]
        return {node.name for node in self.graph.before([*_named(self.meta), *within])}

    @cached_property
    def after_touching(self) -> set[str]:
        """The names of `touching_nodes` and of all nodes that depend on one."""
        readers: dict[str, list[str]] = {}
        for node in self.graph.nodes.values():
            for tensor in node.input:
                readers.setdefault(node_of(tensor), []).append(node.name)
        left, seen = [node.name for node in self.touching_nodes], set()
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += readers.get(name, [])
        return seen

    @cached_property
    def restoring(self) -> set[str]:
        return self._before(self.meta.saver_def.restore_op_name)

    @cached_property
    def saving(self) -> set[str]:
        return self._before(self.meta.saver_def.save_tensor_name)

    def allows(self, node: Any) -> bool:
        """Whether one of `touching_nodes` runs only for saving, or restores the file that the loader names."""
        if node.name in self.run:
            return False
        return self.restores_only(node) if node.name in self.restoring else node.name in self.saving

    def restores_only(self, node: Any) -> bool:
        """Whether a node reads only the checkpoint that the loader names, directly or through the function it calls."""
        if not node.input or self._origin(node.input[0]) != node_of(self.meta.saver_def.filename_tensor_name):
            return False
        return node.op in RESTORING if node.op in CHECKPOINTS else self._function_restores(node)

    def _function_restores(self, node: Any) -> bool:
        for name in self.touching.intersection(self.graph.calls(node)):
            function = self.graph.functions[name]
            if not function.signature.input_arg or not self.touching.isdisjoint(self.graph.callees[name]):
                return False
            given, inner = function.signature.input_arg[0].name, {one.name: one for one in function.node_def}
            for one in function.node_def:
                if one.op in CHECKPOINTS and (
                    one.op not in RESTORING or not one.input or _passed(one.input[0], inner) != given
                ):
                    return False
        return True

    def _origin(self, tensor: str) -> str:
        return _passed(tensor, self.graph.nodes)

    def _before(self, name: str) -> set[str]:
        return {node.name for node in self.graph.before([name])} if name else set()

    def first(self, function: str) -> Any:
        """A checkpoint operator that a function reaches."""
        left, seen = [function], set()
        while left:
            name = left.pop()
            if name in seen:
                continue
            seen.add(name)
            for node in self.graph.functions[name].node_def:
                if node.op in CHECKPOINTS:
                    return node
            left += self.graph.callees[name]
        raise LookupError(function)

    def first_of(self, node: Any) -> Any:
        """A checkpoint operator that is reached by a node calling such a function."""
        return self.first(next(name for name in self.graph.calls(node) if name in self.touching))


def _passed(tensor: str, nodes: Any) -> str:
    """Where a tensor comes from, through nodes that pass it on unchanged."""
    name, seen = node_of(tensor), set()
    while name in nodes and nodes[name].op == _PASSING_ON and nodes[name].input and name not in seen:
        seen.add(name)
        name = node_of(nodes[name].input[0])
    return name


def _named(meta: Any) -> Iterator[str]:
    """Every node that a signature, a collection or an asset names."""
    for signature in meta.signature_def.values():
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            yield from _tensors(info)
    for asset in meta.asset_file_def:
        yield asset.tensor_info.name
    for collection in meta.collection_def.values():
        yield from collection.node_list.value


def _held(collection: Any) -> Iterator[bytes]:
    """Contents of a collection of other kinds: for example, variables name the nodes that initialize them."""
    yield from collection.bytes_list.value
    yield from (packed.value for packed in collection.any_list.value)


def _tensors(info: Any) -> Iterator[str]:
    """Names of the tensors of one input or output of a signature."""
    yield info.name
    sparse = info.coo_sparse
    yield from (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    yield from (part.name for part in info.composite_tensor.components)
