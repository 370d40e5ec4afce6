"""Computes tensors of a graph on calibration examples, running only what leads to them, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto, TensorProto, helper
from onnxruntime import InferenceSession

from apps.agents.backends.onnx import runtime
from apps.agents.backends.onnx.split_model import Array, names_read
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.base import Assignment

BATCH = 16
"""Examples per batch. A layer's patches of one batch are in memory at once."""


@dataclass(frozen=True)
class Flow:
    """Calibration examples that can be run through any number of times."""

    batches: Callable[[int], Iterator[Feeds]]
    """Up to a number of examples, in batches."""
    examples: int
    """The number of examples to use."""
    threads: int = 1

    def fewer(self, examples: int) -> Flow:
        """The same with only the first examples."""
        return replace(self, examples=min(examples, self.examples))

    def through(self, *wanted: tuple[ModelProto, Sequence[str]]) -> Iterator[list[list[Array]]]:
        """For each batch, the named tensors of each graph. Raises `ModelNotLoadable` and `ModelRunFailed`."""
        opened = [(_open(proto, names, self.threads), names) for proto, names in wanted]
        for feeds in self.batches(self.examples):
            yield [_run(session, feeds, names) for session, names in opened]


def flow_of(assignment: Assignment) -> Flow:
    """The calibration examples that the assignment asks for, in batches."""
    examples = min(int(assignment.parameters["calibration_examples"]), len(assignment.dataset.calibration_indices))
    return Flow(lambda count: assignment.batches(count, BATCH), examples, assignment.threads)


def _open(proto: ModelProto, names: Sequence[str], threads: int) -> InferenceSession | None:
    """A session that gives `names`; `None` if all of them are inputs of the graph."""
    fed = {one.name for one in proto.graph.input}
    if fed.issuperset(names):
        return None
    return runtime.open_session(truncated(proto, names).SerializeToString(), threads=threads)


def _run(session: InferenceSession | None, feeds: Feeds, names: Sequence[str]) -> list[Array]:
    found = dict(feeds)
    if session is not None:
        taken = {one.name for one in session.get_inputs()}
        made = [one.name for one in session.get_outputs()]
        given = {name: array for name, array in feeds.items() if name in taken}
        found |= dict(zip(made, runtime.run(session, given, made), strict=True))
    return [found[name] for name in names]


def truncated(proto: ModelProto, names: Sequence[str]) -> ModelProto:
    """The part of a graph that leads to the tensors `names`, which are its outputs."""
    needed, nodes = set(names), []
    for node in reversed(proto.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(names_read(node))
    part = ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import, functions=proto.functions)
    part.graph.name = proto.graph.name
    part.graph.node.extend(reversed(nodes))
    part.graph.initializer.extend(tensor for tensor in proto.graph.initializer if tensor.name in needed)
    fed = {one.name for one in proto.graph.input}
    part.graph.input.extend(one for one in proto.graph.input if one.name in needed)
    known = {one.name: one for one in proto.graph.output}
    for name in names:
        if name not in fed:
            part.graph.output.append(known.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return part
