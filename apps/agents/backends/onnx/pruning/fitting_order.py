"""The order in which layers are fitted, and their targets: sources before readers, a shortcut before its body."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from onnx import NodeProto

from apps.agents.backends.onnx.pruning.tracing import Layer, Trace
from apps.agents.backends.onnx.split_model import names_read
from apps.agents.techniques.channel_pruning.channels import Kept


@dataclass(frozen=True)
class Aim:
    """What a layer is fitted to: the tensor `wanted` of the original, minus `given` of the pruned network."""

    wanted: str
    given: str | None = None


@dataclass
class Order:
    """The layers of a traced graph that cutting to `kept` affects, in the order in which they are fitted."""

    trace: Trace
    kept: Kept
    fitted: set[str] = field(default_factory=set)
    """Names of the layers that are fitted already."""

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers whose inputs change, those after fewer layers first, so a shortcut comes before its body."""
        disturbed = [layer for layer in self.trace.layers if layer.name in self._disturbed]
        return sorted(disturbed, key=lambda layer: len(self._before[layer.source]))

    def aim(self, layer: Layer) -> Aim:
        """Before an addition, its sum minus the other branch, if that is fitted already. Else the layer's output."""
        readers = self._readers.get(layer.target, [])
        if len(readers) != 1 or readers[0].op_type != "Add" or len(readers[0].input) != 2:
            return Aim(layer.target)
        other = next((name for name in readers[0].input if name != layer.target), layer.target)
        open_ones = (self._before.get(other, frozenset()) & self._disturbed) - self.fitted
        same = self.trace.shape(other) == self.trace.shape(layer.target)
        if other in (layer.target, *self.trace.stored) or not same or open_ones:
            return Aim(layer.target)
        return Aim(readers[0].output[0], other)

    @cached_property
    def _before(self) -> dict[str, frozenset[str]]:
        """Names of the layers that lead to each tensor."""
        own = {layer.target: layer.name for layer in self.trace.layers}
        found: dict[str, frozenset[str]] = {}
        for node in self.trace.proto.graph.node:
            above = frozenset[str]().union(*(found.get(name, frozenset()) for name in names_read(node)))
            for name in node.output:
                found[name] = above | {own[name]} if name in own else above
        return {**{one.name: frozenset() for one in self.trace.proto.graph.input}, **found}

    @cached_property
    def _disturbed(self) -> frozenset[str]:
        found: set[str] = set()
        for layer in self.trace.layers:
            cut = layer.ids_in is not None and not self.kept[layer.ids_in].all()
            if cut or self._before[layer.source] & found:
                found.add(layer.name)
        return frozenset(found)

    @cached_property
    def _readers(self) -> dict[str, list[NodeProto]]:
        readers: dict[str, list[NodeProto]] = {}
        for node in self.trace.proto.graph.node:
            for name in Counter(names_read(node)):
                readers.setdefault(name, []).append(node)
        for output in self.trace.proto.graph.output:
            readers.setdefault(output.name, []).append(NodeProto(op_type="Output"))
        return readers
