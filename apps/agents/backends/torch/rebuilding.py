"""Layers of an exported program as modules again: what pruning and training take hold of.

An exported program is a flat graph of operators over parameters. Here calls of convolutions, linear layers, norms and
tables become calls of PyTorch's own modules with the same parameters, under the names that these had. Every other
operator stays as it is. The result computes what the program computes.
"""

from __future__ import annotations

from operator import getitem
from typing import Any

import torch
from torch import fx, nn

from apps.agents.backends.torch.layers import LAYERS, Layer

_CHECKS = ("_assert_tensor_metadata", "_assert_scalar", "_assert_async")
"""Operators that only stop a program on tensors of another type or device than it was exported with."""
_OWN = frozenset(("weight", "bias", "running_mean", "running_var", "num_batches_tracked"))
"""What a layer may hold."""


def rebuilt(program: nn.Module) -> fx.GraphModule:
    """A module of the same function as the exported `program`, whose parameters it shares.

    Unlike the program it can be set to training mode. Calls on the same parameters are calls of one module.
    """
    assert isinstance(program, fx.GraphModule)
    root = fx.GraphModule(program, _copied(program.graph))
    made: dict[object, str] = {}
    for node in list(root.graph.nodes):
        if node.op != "call_function":
            continue
        if getattr(node.target, "__name__", "").startswith(_CHECKS) and not node.users:
            root.graph.erase_node(node)
        elif layer := LAYERS.get(node.target):
            _replace(root, node, layer, made)
    root.graph.eliminate_dead_code()
    root.recompile()
    return root.eval()


def arguments_of(node: fx.Node) -> dict[str, Any]:
    """What the operator of `node` is given, by the names of its schema, defaults included."""
    schema = node.target._schema.arguments
    placed = dict(zip((one.name for one in schema), node.args, strict=False))
    return {**{one.name: one.default_value for one in schema}, **placed, **node.kwargs}


def _copied(graph: fx.Graph) -> fx.Graph:
    copy = fx.Graph()
    copy._codegen = graph._codegen
    nodes: dict[fx.Node, fx.Node] = {}
    output = copy.graph_copy(graph, nodes)
    copy.output(output)
    for node, other in nodes.items():
        other.meta = dict(node.meta)
    return copy


def _replace(root: fx.GraphModule, node: fx.Node, layer: Layer, made: dict[object, str]) -> None:
    """Call a module in the place of `node`, where all of its tensors but the data are the program's own."""
    given = arguments_of(node)
    data = given.pop(layer.data)
    held = {name: value for name, value in given.items() if isinstance(value, fx.Node)}
    plain = {name: value for name, value in given.items() if name not in held}
    fixed = len(held) + 1 == len(node.all_input_nodes) and all(value.op == "get_attr" for value in held.values())
    if not fixed or not isinstance(data, fx.Node):
        return
    paths = {name: str(value.target) for name, value in held.items()}
    key = (node.target, tuple(paths.items()), str(plain))
    if key not in made:
        tensors = {name: _attribute(root, path) for name, path in paths.items()}
        module = layer.build({**plain, **tensors}, _axes(data))
        if module is None:
            return
        made[key] = _placed(root, module.eval(), next(iter(paths.values()), ""))
    _call(root, node, made[key], data)


def _axes(data: fx.Node) -> int | None:
    """How many axes the data has; `None` where the program does not say."""
    example = data.meta.get("val")
    return example.ndim if isinstance(example, torch.Tensor) else None


def _attribute(root: nn.Module, path: str) -> torch.Tensor:
    found: Any = root
    for name in path.split("."):
        found = getattr(found, name)
    assert isinstance(found, torch.Tensor)
    return found


def _placed(root: fx.GraphModule, layer: nn.Module, weight: str) -> str:
    """Put `layer` where its weight is, or beside everything where something else is there too; its path."""
    path = weight.rpartition(".")[0]
    held = root.get_submodule(path) if path else root
    plain = path and not any(True for _ in held.children()) and type(held) is nn.Module
    if not plain or {*held._parameters, *held._buffers} - _OWN:
        path = f"layer_{sum(1 for _ in root.children())}"
    root.add_submodule(path, layer)
    return path


def _call(root: fx.GraphModule, node: fx.Node, path: str, data: fx.Node) -> None:
    with root.graph.inserting_after(node):
        call = root.graph.call_module(path, (data,))
    firsts = [user for user in node.users if user.target is getitem and user.args[1] == 0]
    several = isinstance(node.meta.get("val"), list | tuple)
    call.meta = dict((firsts[0] if several and firsts else node).meta)
    for one in firsts if several else [node]:
        one.replace_all_uses_with(call)
        root.graph.erase_node(one)
    if several and not node.users:
        root.graph.erase_node(node)
