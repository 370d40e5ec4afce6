"""Walks an untrusted TensorFlow graph and its library of functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from apps.agents.contracts.errors.tensorflow_models import SavedModelDamaged

MOST_CALLED_NODES = 1_000_000
"""Limit of nodes that one function runs, counted along its calls: more is a bomb of functions that call each other."""
_GRADIENT = "SymbolicGradient"
_DEEPEST_ATTRIBUTES = 8
"""Nesting of attributes in which functions name further functions."""


@dataclass(frozen=True)
class Graph:
    """Nodes of the graph and of its functions, by name."""

    nodes: Mapping[str, Any]
    functions: Mapping[str, Any]
    gradients: Mapping[str, str]
    """Functions that replace the gradients of others."""

    @classmethod
    def of(cls, graph: Any) -> Graph:
        """The graph of a `GraphDef`. Raises `SavedModelDamaged` if two nodes or functions have the same name."""
        nodes = {node.name: node for node in graph.node}
        functions = {function.signature.name: function for function in graph.library.function}
        if len(nodes) < len(graph.node) or len(functions) < len(graph.library.function):
            raise SavedModelDamaged(reason="two of its nodes or functions have the same name")
        return cls(nodes, functions, {one.function_name: one.gradient_func for one in graph.library.gradient})

    def everywhere(self) -> Iterator[Any]:
        """Every node, including unreachable ones."""
        return chain(self.nodes.values(), *(function.node_def for function in self.functions.values()))

    def before(self, sources: Iterable[str]) -> Iterator[Any]:
        """The graph's own nodes that `sources` (names of tensors or nodes) depend on, each once."""
        left, seen = [node_of(name) for name in sources], set()
        while left:
            name = left.pop()
            node = self.nodes.get(name)
            if node is None or name in seen:
                continue
            seen.add(name)
            yield node
            left += [node_of(one) for one in node.input]

    def reached(self, sources: Iterable[str]) -> Iterator[Any]:
        """The same, with the bodies of the called functions, once for each call.

        Raises `SavedModelDamaged` if there are more than `MOST_CALLED_NODES`.
        """
        waiting, count = [self.before(sources)], 0
        while waiting:
            node = next(waiting[-1], None)
            if node is None:
                waiting.pop()
                continue
            count += 1
            if count > MOST_CALLED_NODES:
                raise SavedModelDamaged(reason=_TOO_MANY)
            yield node
            waiting += [iter(self.functions[name].node_def) for name in self.calls(node)]

    def calls(self, node: Any) -> list[str]:
        """The library functions that a node may call: named by an attribute, or by its operator."""
        names = [node.op, *called(node)]
        if node.op == _GRADIENT:
            names += [self.gradients[name] for name in names if name in self.gradients]
        return [name for name in names if name in self.functions]

    @cached_property
    def callees(self) -> Mapping[str, tuple[str, ...]]:
        """The functions that each function calls, once for each call."""
        return {
            name: tuple(inner for node in function.node_def for inner in self.calls(node))
            for name, function in self.functions.items()
        }

    def calling(self, roots: Iterable[str]) -> set[str]:
        """`roots`, functions by name, and all functions that call one of them, directly or through others."""
        callers: dict[str, list[str]] = {}
        for name, inner in self.callees.items():
            for one in inner:
                callers.setdefault(one, []).append(name)
        left, seen = list(roots), set()
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += callers.get(name, [])
        return seen

    def check_calls(self) -> None:
        """Raise `SavedModelDamaged` for functions that call each other in a circle, or too often."""
        sizes: dict[str, int] = {}
        for root in self.functions:
            left, above = [root], set()
            while left:
                name = left[-1]
                if name in sizes:
                    left.pop()
                    continue
                missing = [inner for inner in set(self.callees[name]) if inner not in sizes]
                if missing and name in above:
                    raise SavedModelDamaged(reason=f"its function {name[:120]!r} calls itself")
                if missing:
                    above.add(name)
                    left += missing
                    continue
                left.pop()
                above.discard(name)
                sizes[name] = len(self.functions[name].node_def) + sum(sizes[inner] for inner in self.callees[name])
                if sizes[name] > MOST_CALLED_NODES:
                    raise SavedModelDamaged(reason=_TOO_MANY)


_TOO_MANY = f"its functions call each other and amount to more than {MOST_CALLED_NODES:,} operators"


def called(node: Any) -> list[str]:
    """Names of the functions that a node may call, in any attribute at any depth."""
    found, left = [], [(value, 0) for value in node.attr.values()]
    while left:
        value, depth = left.pop()
        functions = [value.func] if value.HasField("func") else []
        functions += value.list.func if value.HasField("list") else []
        if functions and depth == _DEEPEST_ATTRIBUTES:
            raise SavedModelDamaged(reason=f"the attributes of its node {node.name[:120]!r} name functions endlessly")
        for function in functions:
            found.append(function.name)
            left += [(inner, depth + 1) for inner in function.attr.values()]
    return found


def node_of(tensor: str) -> str:
    """The node that a tensor or a control input comes from, by name."""
    return str(tensor).removeprefix("^").partition(":")[0]
