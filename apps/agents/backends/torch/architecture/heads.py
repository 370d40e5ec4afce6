"""Attention heads that a sub-network can do without.

An exported program has the number of heads written into its shapes: `view(x, [batch, length, 4, 16])`. Here the heads
are followed from the layers that make queries, keys and values to the layer that reads what they give, and every shape
on the way is freed. Whether that was right is tried: the network without its least important head must give what the
whole network gives if nothing reads that head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree

from apps.agents.backends.torch.architecture.blocks import graph_of
from apps.agents.backends.torch.architecture.flow import Mark, Shapes, followed
from apps.agents.backends.torch.architecture.slots import Group, Slot
from apps.agents.backends.torch.architecture.timing import Core
from apps.agents.backends.torch.pruning.importance import TAYLOR

Tensors = tuple[torch.Tensor, ...]
SAME = 1e-4
"""The largest difference of outputs, as a share of the largest number: sums of fewer numbers round differently."""
_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
_SOFTMAX = (torch.ops.aten.softmax.int, torch.ops.aten._softmax.default)
_PRODUCTS = (torch.ops.aten.matmul.default, torch.ops.aten.bmm.default)


@dataclass(frozen=True)
class Attention:
    """Heads that can go one by one: their group has a channel for each."""

    name: str
    """The layer that reads them."""
    core: Core
    group: Group

    @property
    def products(self) -> str:
        """What its core is called among the operators of a latency table."""
        return f"attention of {self.name}"


@dataclass(frozen=True)
class _Found:
    """An attention in the graph: the calls of the layers that make what it reads, and how the heads lie in each."""

    core: Core
    inner: Mapping[fx.Node, int]
    """By call: how many neighbouring outputs of its layer belong to one head."""


def attentions_of(
    module: nn.Module, tensors: Tensors, rows: int, importance: str, learn: Callable[[nn.Module], None]
) -> list[Attention]:
    """The attentions of a rebuilt program, which gets `tensors` of `rows` examples, in the order of its graph.

    Frees the shapes of `module` from the number of heads; it computes what it did. Leaves out what has one head, and
    what is made in a way that is not known here.
    """
    prefix, program = graph_of(module)
    prefix = f"{prefix}." if prefix else ""
    shapes = _shapes(module, program, tensors)
    found = []
    learn(module)
    for layouts in _all(program, shapes, rows):
        made = (_attention(module, prefix, one, program, shapes, importance) for one in layouts)
        found += [one for one in made if one is not None and _is_free(module, one, tensors)][:1]
    module.zero_grad(set_to_none=True)
    return found


# --- where they are ---------------------------------------------------------------------------------------------------


def _shapes(module: nn.Module, program: fx.GraphModule, tensors: Tensors) -> dict[fx.Node, tuple[int, ...]]:
    """The shape of what every node of the graph gives."""
    given: list[Any] = []
    handle = program.register_forward_pre_hook(lambda _, args: given.append(args))
    found: dict[fx.Node, tuple[int, ...]] = {}

    class Watching(fx.Interpreter):  # type: ignore[misc, unused-ignore]
        def run_node(self, n: fx.Node) -> Any:
            made = super().run_node(n)
            if isinstance(made, torch.Tensor):
                found[n] = tuple(made.shape)
            return made

    with torch.no_grad():
        try:
            module(*tensors)
        finally:
            handle.remove()
        Watching(program).run(*given[0])
    return found


def _all(program: fx.GraphModule, shapes: Shapes, rows: int) -> list[list[_Found]]:
    """Every attention of several heads, with the ways in which its heads may lie."""
    found = []
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        operands = node.args[:3] if node.target is _ATTENTION else _operands(node) if node.target in _SOFTMAX else None
        if operands is None:
            continue
        calls = [_layer_before(program, one) for one in operands]
        if all(call is not None for call in calls):
            found.append(_laid_out(shapes, rows, operands, calls))
    return found


def _operands(softmax: fx.Node) -> tuple[fx.Node, ...] | None:
    """Queries, keys and values around a softmax; `None` if it is not that of an attention."""
    before, after = softmax.all_input_nodes[0], softmax
    while before.target not in _PRODUCTS:
        tensors = [one for one in before.all_input_nodes if one.op == "call_function"]
        if before.op != "call_function" or not tensors:
            return None
        before = tensors[0]
    while len(after.users) == 1 and next(iter(after.users)).target not in _PRODUCTS:
        after = next(iter(after.users))
    product = next((user for user in after.users if user.target in _PRODUCTS), None)
    if product is None or product.args[0] is not after:
        return None
    return (*before.args[:2], product.args[1])


def _layer_before(program: fx.GraphModule, node: Any) -> fx.Node | None:
    """The call of the linear layer from whose outputs alone `node` is laid out."""
    while isinstance(node, fx.Node):
        if node.op == "call_module":
            layer = program.get_submodule(str(node.target))
            if isinstance(layer, nn.Linear):
                alone = sum(one.target == node.target for one in program.graph.nodes) == 1
                return node if alone else None
        elif node.op != "call_function":
            return None
        node = next(iter(node.all_input_nodes), None)
    return None


def _laid_out(shapes: Shapes, rows: int, operands: tuple[fx.Node, ...], calls: list[Any]) -> list[_Found]:
    """How the heads may lie; empty if there is one, or if queries, keys and values do not have equally many.

    A layer that makes several of them may have those of all heads, or those of each head, side by side.
    """
    query, key = shapes[operands[0]], shapes[operands[1]]
    width, parts = query[-1], {call: calls.count(call) for call in calls}
    counts = {shapes[call][-1] / (times * width) for call, times in parts.items()}
    heads = int(min(counts))
    if len(counts) > 1 or heads < 2 or math.prod(query[:-2]) % (rows * heads):
        return []
    core = Core(math.prod(query[:-2]) // (rows * heads), heads, query[-2], math.prod(key[-2:]) // width, width)
    layouts = [dict.fromkeys(parts, width), {call: times * width for call, times in parts.items()}]
    return [_Found(core, inner) for inner in (layouts if layouts[0] != layouts[1] else layouts[:1])]


# --- making their number free -----------------------------------------------------------------------------------------


def _attention(
    module: nn.Module, prefix: str, one: _Found, program: fx.GraphModule, shapes: Shapes, importance: str
) -> Attention | None:
    """The attention, with shapes that are free; `None`, with nothing changed, if its heads cannot be followed."""
    starts = {call: Mark(len(shapes[call]) - 1, inner) for call, inner in one.inner.items()}
    ways = followed(program, shapes, starts, one.core.heads)
    if ways is None or not ways.readers:
        return None
    for change in ways.changes:
        change()
    program.recompile()
    places = _places(module, prefix, one, ways.readers)
    slots = _ranked(module, places, one.core.heads, importance)
    layers = tuple(f"{prefix}{call.target}" for call in one.inner)
    return Attention(f"{prefix}{next(iter(ways.readers)).target}", one.core, Group(layers, one.core.heads, slots))


def _places(module: nn.Module, prefix: str, one: _Found, readers: Mapping[fx.Node, Mark]) -> dict[tuple[str, int], int]:
    """By tensor and axis: how many neighbouring numbers belong to one head."""
    found: dict[tuple[str, int], int] = {}
    for call, inner in one.inner.items():
        layer = module.get_submodule(f"{prefix}{call.target}")
        for tensor in ("weight", "bias") if layer.bias is not None else ("weight",):
            found[f"{prefix}{call.target}.{tensor}", 0] = inner
    return found | {(f"{prefix}{call.target}.weight", 1): mark.inner for call, mark in readers.items()}


def _ranked(module: nn.Module, places: Mapping[tuple[str, int], int], heads: int, importance: str) -> tuple[Slot, ...]:
    """The slots of heads, the most important first, by the size of all their weights, or of these times gradients."""
    owners = {
        (name, axis): torch.arange(module.get_parameter(name).shape[axis]) // inner % heads
        for (name, axis), inner in places.items()
    }
    scores = torch.zeros(heads)
    for (name, axis), owner in owners.items():
        weight, gradient = module.get_parameter(name).detach(), module.get_parameter(name).grad
        counted = (weight * gradient if importance == TAYLOR and gradient is not None else weight).square()
        others = tuple(place for place in range(weight.ndim) if place != axis)
        scores.index_add_(0, owner, (counted.sum(others) if others else counted).float())
    ranks = torch.empty(heads, dtype=torch.int64)
    ranks[torch.argsort(scores, descending=True, stable=True)] = torch.arange(heads)
    return tuple(Slot(name, axis, ranks[owner]) for (name, axis), owner in owners.items())


def _is_free(module: nn.Module, attention: Attention, tensors: Tensors) -> bool:
    """Whether the network without the least important head gives what it gives if nothing reads that head."""
    last = attention.group.width - 1
    unread: dict[str, torch.Tensor] = {}
    gone: dict[str, torch.Tensor] = {}
    for slot in attention.group.slots:
        weight = gone.get(slot.tensor, module.get_parameter(slot.tensor)).detach()
        gone[slot.tensor] = weight.index_select(slot.axis, (slot.ranks < last).nonzero().flatten())
        if slot.axis == 1:
            unread[slot.tensor] = module.get_parameter(slot.tensor).detach() * (slot.ranks < last)
    try:
        with torch.no_grad():
            wanted, made = (_numbers(torch.func.functional_call(module, one, tensors)) for one in (unread, gone))
    except (RuntimeError, ValueError, IndexError, TypeError):
        return False
    pairs = zip(wanted, made, strict=True)
    return all(
        one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=SAME * max(1e-3, float(one.abs().max())))
        for one, other in pairs
    )


def _numbers(outputs: Any) -> list[torch.Tensor]:
    return [one for one in _pytree.tree_leaves(outputs) if isinstance(one, torch.Tensor)]
