"""Axes that an exporter left free although the weights fix them: found by shape inference, confirmed by one run.

A matrix product accepts rows of one length, whatever the input declares. If the length is an axis of an input, one
inference over symbolic names shows it. If it results from several axes (a flattened picture), sizes are tried: first
the same size for all, because pictures are often square, then one axis after the other.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto

from apps.agents.backends.onnx import files, runtime
from apps.agents.backends.onnx.nodes import attribute
from apps.agents.backends.onnx.split_model import stub
from apps.agents.contracts.errors.running import ModelNotLoadable, ModelRunFailed
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec

Shape = tuple[int | str | None, ...]
Axis = tuple[str, int]
"""An input and the index of one of its axes."""

PROBES = (64, 96, 131)
"""If all of these sizes fit, an axis is free."""
USUAL = (28, 32, 64, 96, 112, 128, 160, 192, 224, 227, 240, 256, 299, 320, 384, 416, 448, 512, 640)
LARGEST = 1024
BUDGET_S = 4.0
"""Maximum seconds of the search; inspection must stay fast."""
ROWS = 2
"""Number of examples for shape inference: shows if rows are mixed with another axis."""
MOST_OPERATORS = 20_000
"""In a larger graph, one inference takes too long."""
MOST_SEARCHED = 4
"""Maximum number of axes that are searched one after the other."""
LARGEST_RUN_BYTES = 2 * 2**30
"""A larger model is not loaded to confirm the result."""
_STAYS_BYTES = 4096
"""Stored tensors up to this size may be shapes. Larger ones are weights, whose values do not affect shapes."""
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "PRelu", "Where"})
_BY_WEIGHT = {
    "Conv": (1, 1),
    "ConvTranspose": (0, 1),
    "BatchNormalization": (0, 1),
    "InstanceNormalization": (0, 1),
    "LayerNormalization": (-1, -1),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (2, 2)),
}
"""Operators whose second input is a weight: which axis of the weight fixes which axis of the first input."""


@dataclass(frozen=True)
class Demand:
    """A length that weights require, and the length in the graph."""

    site: str
    """Where it applies: a node's output tensor, and a count."""
    wanted: int
    found: int | str | None


def with_fixed_axes(summary: ModelSummary, model: Path) -> ModelSummary:
    """`summary` of an opened `model` with the axes that its weights fix, and a note about them."""
    free = _free_axes(summary.inputs)
    if not free or sum(summary.operators.values()) > MOST_OPERATORS:
        return summary
    search = _Search(summary, model, free)
    fixed = search.fixed()
    notes = [_not_every_size(search.open, free)] if search.open else []
    if not fixed:
        return summary.model_copy(update={"notes": (*summary.notes, *notes)})
    names = {str(name): size for axis, size in fixed.items() if (name := free[axis]) is not None}
    inputs = tuple(_with_sizes(spec, fixed, names) for spec in summary.inputs)
    outputs = tuple(_with_sizes(spec, {}, names) for spec in summary.outputs)
    changed = [str(new) for old, new in zip(summary.inputs, inputs, strict=True) if new != old]
    note = (
        f"The file leaves axes open that its weights fix, so they are treated as fixed: {'; '.join(changed)}. If your "
        "data has another shape, export the model again with the right axes."
    )
    return summary.model_copy(update={"inputs": inputs, "outputs": outputs, "notes": (*summary.notes, note, *notes)})


def _not_every_size(axes: Sequence[Axis], free: Mapping[Axis, str | None]) -> str:
    named = ", ".join(
        f"axis {place} of {name}" + (f" ({free[name, place]})" if free[name, place] else "") for name, place in axes
    )
    return f"The file leaves {named} open, but its weights accept only some sizes, which could not be determined."


def _free_axes(inputs: Sequence[TensorSpec]) -> dict[Axis, str | None]:
    """Every axis of an input that is not fixed, with its name, except the first (the batch axis)."""
    return {
        (spec.name, place): axis
        for spec in inputs
        for place, axis in enumerate(spec.shape)
        if place > 0 and not isinstance(axis, int)
    }


def _with_sizes(spec: TensorSpec, fixed: Mapping[Axis, int], names: Mapping[str, int]) -> TensorSpec:
    def size(place: int, axis: int | str | None) -> int | str | None:
        named = names.get(axis, axis) if isinstance(axis, str) and place > 0 else axis
        return fixed.get((spec.name, place), named)

    return spec.model_copy(update={"shape": tuple(size(place, axis) for place, axis in enumerate(spec.shape))})


class _Search:
    """Sizes of the free axes of one model that its weights accept."""

    def __init__(self, summary: ModelSummary, model: Path, free: Mapping[Axis, str | None]) -> None:
        self.summary, self.model, self.free = summary, model, free
        self.graph = _Graph(summary, model)
        self.end_s = time.monotonic() + BUDGET_S
        self.open: tuple[Axis, ...] = ()
        """Axes that do not accept every size, and for which no size was found."""

    def fixed(self) -> dict[Axis, int]:
        """The axes that accept only one size; empty if none is found in time."""
        found = self._named()
        groups = self._groups(axis for axis in self.free if axis not in found)
        searched = self._searched(found, groups) if groups else {}
        return found | searched

    def _named(self) -> dict[Axis, int]:
        """Axes that reach an operator with weights unchanged."""
        symbols = {f"free_axis_{number}": axis for number, axis in enumerate(self.free)}
        demands = self.graph.demands({axis: symbol for symbol, axis in symbols.items()})
        found = {
            symbols[one.found]: one.wanted for one in demands if isinstance(one.found, str) and one.found in symbols
        }
        by_name = {name: size for axis, size in found.items() if (name := self.free[axis]) is not None}
        return found | {axis: by_name[name] for axis, name in self.free.items() if name in by_name}

    def _groups(self, axes: Iterable[Axis]) -> list[tuple[Axis, ...]]:
        """Axes of the same name have the same size."""
        groups: dict[object, list[Axis]] = {}
        for axis in axes:
            groups.setdefault(self.free[axis] or axis, []).append(axis)
        return [tuple(group) for group in groups.values()]

    def _searched(self, found: Mapping[Axis, int], groups: Sequence[tuple[Axis, ...]]) -> dict[Axis, int]:
        repeated = self._repeated(found, groups)

        def unmet(sizes: Sequence[int]) -> int:
            given = {axis: size for group, size in zip(groups, sizes, strict=True) for axis in group}
            demands = self.graph.demands({**found, **given})
            return sum(one.found != one.wanted for one in demands if one.site not in repeated)

        def fits(sizes: Sequence[int]) -> bool:
            return not unmet(sizes)

        if all(fits([probe] * len(groups)) for probe in PROBES):
            return {}
        sizes = self._equal(fits, len(groups)) or self._one_by_one(unmet, len(groups))
        if sizes is None or not self._runs(found, groups, sizes):
            self.open = tuple(axis for group in groups for axis in group)
            return {}
        alone = {
            place: all(not fits([*sizes[:place], other, *sizes[place + 1 :]]) for other in _others(sizes[place]))
            for place in range(len(groups))
        }
        return {axis: sizes[place] for place, group in enumerate(groups) if alone[place] for axis in group}

    def _repeated(self, found: Mapping[Axis, int], groups: Sequence[tuple[Axis, ...]]) -> frozenset[str]:
        """Where the graph always has a single entry that is broadcast over the stored ones."""
        axes = [axis for group in groups for axis in group]
        always = [
            {one.site for one in self.graph.demands({**found, **dict.fromkeys(axes, probe)}) if one.found == 1}
            for probe in PROBES
        ]
        return frozenset(set.intersection(*always))

    def _equal(self, fits: Callable[[Sequence[int]], bool], count: int) -> list[int] | None:
        """One size for every axis, a common one if it fits."""
        sizes = (size for size in (*USUAL, *range(1, LARGEST + 1)) if self._in_time())
        return next(([size] * count for size in sizes if fits([size] * count)), None)

    def _one_by_one(self, unmet: Callable[[Sequence[int]], int], count: int) -> list[int] | None:
        """A size for each axis in turn: the one that leaves the fewest demands of the weights unmet."""
        sizes = [PROBES[0]] * count
        for place in range(count if count <= MOST_SEARCHED else 0):
            left: dict[int, int] = {}
            for size in itertools.takewhile(lambda _: self._in_time(), range(1, LARGEST + 1)):
                tried = [*sizes[:place], size, *sizes[place + 1 :]]
                left[size] = unmet(tried)
                if not left[size]:
                    return tried
            sizes[place] = min(left, key=lambda size: left[size], default=sizes[place])
        return None

    def _in_time(self) -> bool:
        return time.monotonic() < self.end_s

    def _runs(self, found: Mapping[Axis, int], groups: Sequence[tuple[Axis, ...]], sizes: Sequence[int]) -> bool:
        """Whether the runtime accepts inputs of these sizes, all zeros."""
        if self.summary.size_bytes > LARGEST_RUN_BYTES:
            return True
        given = {**found, **{axis: size for group, size in zip(groups, sizes, strict=True) for axis in group}}
        try:
            feeds = {spec.name: _zeros(spec, given) for spec in self.summary.inputs}
            runtime.run(runtime.open_session(self.model, optimize=False), feeds)
        except (ModelNotLoadable, ModelRunFailed, TypeError):  # TypeError: a number type that numpy does not have.
            return False
        return True


def _others(size: int) -> tuple[int, ...]:
    """Sizes that must not fit if `size` is the only one."""
    return (2 * size, size // 2) if size > 1 else (2 * size,)


def _zeros(spec: TensorSpec, sizes: Mapping[Axis, int]) -> NDArray[Any]:
    axes = [
        axis if isinstance(axis, int) else sizes.get((spec.name, place), 1) for place, axis in enumerate(spec.shape)
    ]
    return np.full(axes, "", object) if spec.dtype == "string" else np.zeros(axes, np.dtype(spec.dtype))


class _Graph:
    """A graph without its weights. Its shapes are inferred again for each set of sizes."""

    def __init__(self, summary: ModelSummary, model: Path) -> None:
        self.inputs = {spec.name: spec for spec in summary.inputs}
        self.proto = _light(model)
        self.values = {one.name: one for one in self.proto.graph.initializer}
        self.static = _static(self.proto)
        firsts = {spec.shape[0] for spec in summary.inputs if spec.shape}
        self.rows = firsts.pop() if len(firsts) == 1 else None
        self.outputs = [spec.name for spec in summary.outputs if spec.shape and spec.shape[0] == self.rows is not None]

    def demands(self, sizes: Mapping[Axis, int | str]) -> list[Demand]:
        """What weights require, and what inputs of these sizes give. Unknown lengths are left out."""
        shapes = self._shapes(sizes)
        found = [demand for node in self.proto.graph.node for demand in self._of(node, shapes)]
        if isinstance(self.rows, str):
            found += [Demand(name, ROWS, shapes[name][0]) for name in self.outputs if shapes.get(name)]
        return [one for one in found if one.found is not None]

    def _shapes(self, sizes: Mapping[Axis, int | str]) -> dict[str, Shape]:
        proto = ModelProto()
        proto.CopyFrom(self.proto)
        for info in proto.graph.input:
            for place, axis in enumerate(info.type.tensor_type.shape.dim):
                size = sizes.get((info.name, place), ROWS if place == 0 and not axis.dim_value > 0 else None)
                if isinstance(size, int):
                    axis.dim_value = size
                elif size is not None:
                    axis.dim_param = size
        try:
            inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
            return {}
        graph = inferred.graph
        shapes = {info.name: shape_of(info) for info in (*graph.input, *graph.value_info, *graph.output)}
        shapes |= {one.name: tuple(one.dims) for one in graph.initializer}
        return {name: shape for name, shape in shapes.items() if shape is not None}

    def _of(self, node: NodeProto, shapes: Mapping[str, Shape]) -> Iterator[Demand]:
        """The demands of one node."""
        first = shapes.get(node.input[0]) if node.input else None
        if node.op_type in ("MatMul", "Gemm"):
            yield from self._of_product(node, shapes)
        elif node.op_type in _ELEMENTWISE:
            yield from self._of_elementwise(node, shapes)
        elif node.op_type == "Reshape" and first is not None:
            yield from self._of_reshape(node, first)
        elif node.op_type in _BY_WEIGHT and first is not None and node.input[1] in self.static:
            yield from self._of_weight(node, first, shapes.get(node.input[1], ()))

    def _of_weight(self, node: NodeProto, first: Shape, weight: Shape) -> Iterator[Demand]:
        """One axis of a weight fixes the length of one axis of the input."""
        of_weight, of_input = _BY_WEIGHT[node.op_type]
        if max(of_weight, 0) < len(weight) and max(of_input, 0) < len(first):
            length = weight[of_weight]
            groups = attribute(node, "group", 1) if node.op_type == "Conv" else 1
            if isinstance(length, int):
                yield Demand(node.output[0], length * groups, first[of_input])

    def _of_product(self, node: NodeProto, shapes: Mapping[str, Shape]) -> Iterator[Demand]:
        """The inner axis of a stored matrix. `Gemm` may transpose either side."""
        left, right = (shapes.get(name) for name in node.input[:2])
        if not left or not right or (node.input[0] in self.static) == (node.input[1] in self.static):
            return
        inner_left = left[0 if attribute(node, "transA", 0) else -1]
        inner_right = right[-1 if attribute(node, "transB", 0) or len(right) == 1 else -2]
        wanted, found = (inner_right, inner_left) if node.input[1] in self.static else (inner_left, inner_right)
        if isinstance(wanted, int):
            yield Demand(node.output[0], wanted, found)

    def _of_elementwise(self, node: NodeProto, shapes: Mapping[str, Shape]) -> Iterator[Demand]:
        """A stored length above 1 must match; a length of 1 is broadcast."""
        stored = [shapes[name] for name in node.input if name in self.static and name in shapes]
        computed = [shapes[name] for name in node.input if name not in self.static and name in shapes]
        for weight, shape in itertools.product(stored, computed):
            for place, (wanted, found) in enumerate(zip(reversed(weight), reversed(shape), strict=False)):
                if isinstance(wanted, int) and wanted > 1:
                    yield Demand(f"{node.output[0]}/{place}", wanted, found)

    def _of_reshape(self, node: NodeProto, first: Shape) -> Iterator[Demand]:
        """Rows of a fixed length, such as [-1, 3136], can only be made from a multiple of it."""
        target = self.values.get(node.input[1]) if len(node.input) > 1 else None
        if target is None or target.data_location == TensorProto.EXTERNAL:
            return
        lengths = [int(length) for length in onnx.numpy_helper.to_array(target).reshape(-1)]
        whole = [axis for axis in first if isinstance(axis, int)]
        if len(whole) == len(first) and 0 not in lengths and -1 in lengths:
            yield Demand(node.output[0], 0, math.prod(whole) % -math.prod(lengths))


def _light(model: Path) -> ModelProto:
    """The graph with small stored tensors and stubs for the others. Only its inputs keep their shapes."""
    proto = files.load_proto(model, weights=False)
    proto = onnx.inliner.inline_local_functions(proto) if proto.functions else proto
    _store_constants(proto)
    for tensor in proto.graph.initializer:
        if max(tensor.ByteSize(), math.prod(tensor.dims) * 8) > _STAYS_BYTES:
            tensor.CopyFrom(stub(tensor.name, tensor.dims, tensor.data_type))
        else:
            files.bring_inside(tensor, model.parent)
    del proto.graph.value_info[:]
    for info in proto.graph.output:
        info.type.tensor_type.ClearField("shape")
    return proto


def _store_constants(proto: ModelProto) -> None:
    """Convert the tensors of `Constant` nodes to initializers."""
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            stored = proto.graph.initializer.add()
            stored.CopyFrom(node.attribute[0].t)
            stored.name = node.output[0]
        else:
            nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _static(proto: ModelProto) -> frozenset[str]:
    """Tensors that are stored or computed only from stored ones."""
    static = {one.name for one in proto.graph.initializer}
    for node in proto.graph.node:
        inner = any(one.HasField("g") for one in node.attribute)
        if not inner and all(name in static for name in node.input if name):
            static.update(node.output)
    return frozenset(static)


def shape_of(info: onnx.ValueInfoProto) -> Shape | None:
    """Lengths and names of its axes; `None` if the file does not declare the number of axes."""
    if not info.type.tensor_type.HasField("shape"):
        return None
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
        for axis in info.type.tensor_type.shape.dim
    )
