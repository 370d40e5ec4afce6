"""Where attention heads lie in the tensors between two layers, and how shapes there are freed from their number.

Heads lie along one axis of a tensor: each has `inner` neighbouring places of it, and all of them may be repeated, as
queries, keys and values are in the outputs of one layer. Operators move that axis, split it or join it with others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import prod
from operator import getitem
from typing import Any

import torch
from torch import fx, nn

_ATEN = torch.ops.aten
Shapes = Mapping[fx.Node, tuple[int, ...]]


@dataclass(frozen=True)
class Mark:
    """Along which axis of a tensor heads lie, and how many neighbouring places of it belong to one."""

    axis: int
    inner: int


@dataclass
class Ways:
    """Where heads went: the calls of layers that read them, and the changes that free the shapes on the way."""

    readers: dict[fx.Node, Mark] = field(default_factory=dict)
    changes: list[Callable[[], None]] = field(default_factory=list)


class Lost(Exception):
    """The heads cannot be followed through an operator."""


def followed(program: fx.GraphModule, shapes: Shapes, starts: Mapping[fx.Node, Mark], heads: int) -> Ways | None:
    """The ways of `heads` heads from the calls in `starts`; `None` if they get lost. `program` is not changed yet."""
    marks, ways = dict(starts), Ways()
    for node in program.graph.nodes:
        if node in starts or not any(one in marks for one in node.all_input_nodes):
            continue
        try:
            mark = _Step(program, shapes, marks, heads, ways).through(node)
        except Lost:
            return None
        if mark is not None:
            marks[node] = mark
    return ways


@dataclass(frozen=True)
class _Step:
    program: fx.GraphModule
    shapes: Shapes
    marks: Mapping[fx.Node, Mark]
    heads: int
    ways: Ways

    def through(self, node: fx.Node) -> Mark | None:
        """Where the heads lie in what `node` gives; `None` if their way ends here. Raises `Lost`."""
        if node.op == "call_module":
            return self._through_module(node)
        if node.op != "call_function" or node.target is _ATEN.sym_size.int:
            if node.op == "output":
                raise Lost
            return None
        rule = _RULES.get(node.target)
        if rule is None:
            raise Lost
        return rule(self, node)

    def first(self, node: fx.Node) -> Mark:
        """The mark of what `node` reads, if that comes first and alone has one."""
        mark = self.marks.get(node.args[0])
        if mark is None or sum(one in self.marks for one in node.all_input_nodes) > 1:
            raise Lost
        return mark

    def axes(self, node: fx.Node) -> int:
        return len(self.shapes[node])

    def _through_module(self, node: fx.Node) -> Mark | None:
        mark, part = self.first(node), self.program.get_submodule(str(node.target))
        if mark.axis < self.axes(node.args[0]) - 1 and isinstance(part, nn.Linear | nn.LayerNorm | nn.RMSNorm):
            return mark
        if not isinstance(part, nn.Linear) or part.in_features != self.heads * mark.inner:
            raise Lost
        self.ways.readers[node] = mark
        return None


def _place(value: Any, axes: int) -> int:
    return int(value) % axes


def _view(step: _Step, node: fx.Node) -> Mark:
    mark, after = _laid_out(step, node), step.shapes[node]
    before, was = step.shapes[node.args[0]], step.first(node)
    known: dict[int, int | None] = {}
    for place, size in enumerate(node.args[1]):
        if size != -1 or place == mark.axis:
            continue
        if before[: place + 1] == after[: place + 1]:
            known[place] = None
        elif place > mark.axis and was.axis == len(before) - 1:  # Within a head.
            known[place] = after[place]
        else:
            raise Lost
    step.ways.changes.append(partial(_free, node, 1, mark.axis, known))
    return mark


def _unflatten(step: _Step, node: fx.Node) -> Mark:
    mark, whole = _laid_out(step, node), _place(node.args[1], step.axes(node.args[0]))
    axis, after = mark.axis - whole, step.shapes[node][whole:]
    if not 0 <= axis < len(node.args[2]):
        return mark
    known = {place: after[place] for place, size in enumerate(node.args[2]) if size == -1 and place != axis}
    step.ways.changes.append(partial(_free, node, 2, axis, known))
    return mark


def _laid_out(step: _Step, node: fx.Node) -> Mark:
    """Where the heads lie once numbers in their order are laid out in another shape, as in `flatten` too."""
    before, after, mark = step.shapes[node.args[0]], step.shapes[node], step.first(node)
    stride = prod(before[mark.axis + 1 :]) * mark.inner
    for axis, length in enumerate(after):
        behind = prod(after[axis + 1 :])
        if behind <= stride and stride % behind == 0 and stride * step.heads <= behind * length:
            return Mark(axis, stride // behind)
    raise Lost


def _free(node: fx.Node, argument: int, axis: int, known: Mapping[int, int | None]) -> None:
    """Let the length of one axis follow from the others. Those that followed from it are as in `known`, or, where that
    is `None`, as in what is viewed."""
    sizes = list(node.args[argument])
    for place, length in known.items():
        sizes[place] = length
        if length is None:
            with node.graph.inserting_before(node):
                sizes[place] = node.graph.call_function(_ATEN.sym_size.int, (node.args[0], place))
    sizes[axis] = -1
    node.args = (*node.args[:argument], sizes, *node.args[argument + 1 :])


def _expand(step: _Step, node: fx.Node) -> Mark:
    mark = step.first(node)
    axis = mark.axis + step.axes(node) - step.axes(node.args[0])
    step.ways.changes.append(partial(_free, node, 1, axis, {}))
    return Mark(axis, mark.inner)


def _transpose(step: _Step, node: fx.Node) -> Mark:
    mark, axes = step.first(node), step.axes(node)
    one, other = (_place(value, axes) for value in (node.args[1:3] or (0, 1)))
    return Mark({one: other, other: one}.get(mark.axis, mark.axis), mark.inner)


def _permute(step: _Step, node: fx.Node) -> Mark:
    mark, axes = step.first(node), step.axes(node)
    return Mark([_place(one, axes) for one in node.args[1]].index(mark.axis), mark.inner)


def _unsqueeze(step: _Step, node: fx.Node) -> Mark:
    mark = step.first(node)
    return Mark(mark.axis + (_place(node.args[1], step.axes(node)) <= mark.axis), mark.inner)


def _without_axis(step: _Step, node: fx.Node) -> Mark:
    """`select`, `squeeze` and `unbind` along another axis."""
    mark, axes = step.first(node), step.axes(node.args[0])
    named = node.args[1] if len(node.args) > 1 else 0
    gone = {_place(one, axes) for one in (named if isinstance(named, list | tuple) else [named])}
    if mark.axis in gone:
        raise Lost
    return Mark(mark.axis - sum(one < mark.axis for one in gone), mark.inner)


def _slice(step: _Step, node: fx.Node) -> Mark:
    mark = step.first(node)
    if _place(node.args[1] if len(node.args) > 1 else 0, step.axes(node)) == mark.axis:
        raise Lost
    return mark


def _split(step: _Step, node: fx.Node) -> Mark:
    """Into parts that all have all heads."""
    mark, length = step.first(node), step.shapes[node.args[0]]
    axis = _place(node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0), len(length))
    if axis != mark.axis:
        return mark
    sizes = node.args[1] if isinstance(node.args[1], list | tuple) else [node.args[1]]
    if set(sizes) != {step.heads * mark.inner} or length[axis] % sizes[0]:
        raise Lost
    step.ways.changes.append(partial(_chunk, node, length[axis] // sizes[0], axis))
    return mark


def _chunk(node: fx.Node, parts: int, axis: int) -> None:
    node.target, node.args, node.kwargs = _ATEN.chunk.default, (node.args[0], parts, axis), {}


def _chunked(step: _Step, node: fx.Node) -> Mark:
    return step.first(node)


def _cat(step: _Step, node: fx.Node) -> Mark:
    marks = {step.marks.get(one) for one in node.args[0]}
    axis = _place(node.args[1] if len(node.args) > 1 else 0, step.axes(node))
    mark = marks.pop()
    if marks or mark is None or axis == mark.axis:
        raise Lost
    return mark


def _product(step: _Step, node: fx.Node) -> Mark:
    """Products of each head's own matrices: heads lie along an axis before the last two of all operands."""
    operands = [one for one in node.args[:3] if isinstance(one, fx.Node)]
    marks = {step.marks.get(one) for one in operands}
    mark = marks.pop()
    if marks or mark is None or mark.axis >= step.axes(node) - 2:
        raise Lost
    for other in (*node.args[3:], *node.kwargs.values()):
        if isinstance(other, fx.Node):
            _broadcast(step, other, mark.axis, step.axes(node))
    return mark


def _each(step: _Step, node: fx.Node) -> Mark:
    """Operators on each number, of tensors that are the same for all heads besides."""
    axes = step.axes(node)
    found = {
        Mark(mark.axis + axes - step.axes(one), mark.inner)
        for one in node.all_input_nodes
        if (mark := step.marks.get(one)) is not None
    }
    mark = found.pop()
    if found:
        raise Lost
    for one in node.all_input_nodes:
        if one not in step.marks and one in step.shapes:
            _broadcast(step, one, mark.axis, axes)
    return mark


def _broadcast(step: _Step, other: fx.Node, axis: int, axes: int) -> None:
    """Raises `Lost` if `other` has something of its own for each head."""
    shape = step.shapes[other]
    place = axis - (axes - len(shape))
    if place >= 0 and shape[place] != 1:
        raise Lost


def _softmax(step: _Step, node: fx.Node) -> Mark:
    mark = step.first(node)
    if _place(node.args[1], step.axes(node)) == mark.axis:
        raise Lost
    return mark


Rule = Callable[[_Step, fx.Node], Mark]


def _rules() -> Iterator[tuple[tuple[Any, ...], Rule]]:
    yield (_ATEN.view.default, _ATEN.reshape.default, _ATEN._unsafe_view.default), _view
    yield (_ATEN.flatten.using_ints,), _laid_out
    yield (_ATEN.unflatten.int,), _unflatten
    yield (_ATEN.expand.default,), _expand
    yield (_ATEN.transpose.int, _ATEN.t.default), _transpose
    yield (_ATEN.permute.default,), _permute
    yield (_ATEN.unsqueeze.default,), _unsqueeze
    yield (_ATEN.squeeze.dim, _ATEN.squeeze.dims, _ATEN.select.int, _ATEN.unbind.int), _without_axis
    yield (_ATEN.slice.Tensor,), _slice
    yield (_ATEN.split.Tensor, _ATEN.split_with_sizes.default, _ATEN.split.sizes), _split
    yield (_ATEN.chunk.default, getitem), _chunked
    yield (_ATEN.cat.default,), _cat
    yield (_ATEN.matmul.default, _ATEN.bmm.default, _ATEN.scaled_dot_product_attention.default), _product
    yield (_ATEN.softmax.int, _ATEN._softmax.default), _softmax
    yield (_ATEN.contiguous.default, _ATEN.clone.default, _ATEN.dropout.default, _ATEN.alias.default), _each
    yield (_ATEN.to.dtype, _ATEN._to_copy.default, _ATEN.neg.default, _ATEN.mul.Scalar, _ATEN.div.Scalar), _each
    yield (_ATEN.mul.Tensor, _ATEN.div.Tensor, _ATEN.add.Tensor, _ATEN.sub.Tensor, _ATEN.add_.Tensor), _each
    yield (_ATEN.mul_.Tensor, _ATEN.masked_fill.Scalar, _ATEN.where.self, _ATEN.where.ScalarOther), _each


_RULES: dict[Any, Rule] = {operator: rule for operators, rule in _rules() for operator in operators}
