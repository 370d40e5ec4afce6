"""Residual blocks that can be skipped: sums of a tensor and of what a branch makes of that same tensor."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

_ADDITIONS = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)


@dataclass(frozen=True)
class Block:
    """A sum whose branch can be left out. Without it, what goes into the branch comes out."""

    name: str
    """The first layer of the branch."""
    sum: str
    """The sum's name in the graph."""
    shortcut: str
    """The name in the graph of what goes into the branch."""


def graph_of(module: nn.Module) -> tuple[str, fx.GraphModule]:
    """The graph inside of a rebuilt program, and its path."""
    if isinstance(module, fx.GraphModule):
        return "", module
    return next((name, part) for name, part in module.named_modules() if isinstance(part, fx.GraphModule))


def blocks_of(module: nn.Module) -> list[Block]:
    """The blocks of a rebuilt program, in the order of the graph."""
    path, program = graph_of(module)
    prefix = f"{path}." if path else ""
    return [
        Block(prefix + str(layer), addition.name, shortcut.name)
        for addition in program.graph.nodes
        if addition.op == "call_function" and addition.target in _ADDITIONS
        for shortcut, layer in [_branch(addition)]
        if shortcut is not None
    ]


def without(module: nn.Module, blocks: Collection[Block]) -> nn.Module:
    """`module` without the branches of `blocks`; what is left of it is shared. `module` itself is not changed."""
    if not blocks:
        return module
    path, program = graph_of(module)
    graph = fx.Graph()
    nodes: dict[fx.Node, fx.Node] = {}
    graph._codegen = copy.deepcopy(program.graph._codegen)
    output = graph.graph_copy(program.graph, nodes)
    graph.output(output)
    named = {node.name: nodes[node] for node in program.graph.nodes if node in nodes}
    for block in blocks:
        named[block.sum].replace_all_uses_with(named[block.shortcut])
        named = {name: named[block.shortcut] if node is named[block.sum] else node for name, node in named.items()}
    made = fx.GraphModule(program, graph)
    made.graph.eliminate_dead_code()
    made.delete_all_unused_submodules()
    made.recompile()
    made.train(program.training)
    return made if not path else _placed(module, path, made)


def _placed(module: nn.Module, path: str, made: nn.Module) -> nn.Module:
    """A copy of `module` that shares everything but the part at `path`, a direct child."""
    changed = copy.copy(module)
    changed._modules = {**module._modules, path: made}
    return changed


def _branch(addition: fx.Node) -> tuple[fx.Node | None, str | None]:
    """The sum's operand that the other one is made of alone, and the branch's first layer; `None` if there is none."""
    operands = addition.args[:2]
    if addition.kwargs or not all(isinstance(one, fx.Node) for one in operands):
        return None, None
    for shortcut, end in (operands, operands[::-1]):
        inside = _inside(shortcut, end, addition)
        if inside:
            layers = [node for node in addition.graph.nodes if node in inside and node.op == "call_module"]
            if layers:
                return shortcut, str(layers[0].target)
    return None, None


def _inside(shortcut: Any, end: Any, addition: fx.Node) -> set[fx.Node]:
    """The nodes from `shortcut` to `end`; empty if they read anything else, or if anything but the sum reads them."""
    found: set[fx.Node] = set()
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node is shortcut or node in found:
            continue
        if node.op in ("placeholder", "output"):
            return set()
        found.add(node)
        waiting.extend(node.all_input_nodes)
    entered = any(shortcut in node.all_input_nodes for node in found)
    left = any(user not in found and user is not addition for node in _computed(found) for user in node.users)
    return found if entered and not left else set()


def _computed(nodes: set[fx.Node]) -> Iterator[fx.Node]:
    return (node for node in nodes if node.op != "get_attr")
