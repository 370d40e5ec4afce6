"""No modules import each other in a circle, not even inside functions: each can be read without those above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lathe.env import PROJECT_ROOT

ROOTS = {"apps": PROJECT_ROOT, "lathe": PROJECT_ROOT / "platform"}
Graph = Mapping[str, set[str]]

TORCH = "apps.agents.backends.torch"
ALLOWED: dict[frozenset[str], str] = {
    frozenset({f"{TORCH}.pretrained", f"{TORCH}.transformers_folder"}): (
        "`pretrained` says without transformers what a module is, and imports the half that needs it to open a folder"
    ),
    frozenset({f"{TORCH}.engine", f"{TORCH}.profile"}): (
        "an engine offers the profile of its model, which is taken with that engine's device and threads"
    ),
}
"""Circles that stay, each with its reason."""


def sources() -> dict[str, Path]:
    """Every module of the product by its name."""
    found = {}
    for package, root in ROOTS.items():
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What `tree` imports anywhere, except for type checkers: modules, with the name that is taken of each."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting.extend(node.orelse)
        elif not isinstance(node, ast.expr):
            waiting.extend(ast.iter_child_nodes(node))


def graph_of(modules: Mapping[str, str]) -> Graph:
    """Which of `modules`, given by name with their source, imports which."""
    graph: dict[str, set[str]] = {}
    for name, source in modules.items():
        pairs = imported(ast.parse(source))
        targets = {f"{module}.{taken}" if f"{module}.{taken}" in modules else module for module, taken in pairs}
        graph[name] = (targets & modules.keys()) - {name}
    return graph


def reached_from(start: str, graph: Graph) -> set[str]:
    """Every module that `start` imports, by however many steps."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found


def circles_of(graph: Graph) -> set[frozenset[str]]:
    """The strongly connected components of more than one module."""
    reach = {name: reached_from(name, graph) for name in graph}
    return {frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]}


@pytest.fixture(scope="module")
def product() -> Graph:
    return graph_of({name: path.read_text() for name, path in sources().items()})


@pytest.fixture(scope="module")
def circles(product: Graph) -> set[frozenset[str]]:
    return circles_of(product)


def test_no_modules_import_each_other_in_a_circle(product: Graph, circles: set[frozenset[str]]) -> None:
    assert len(product) > 300
    assert {tuple(sorted(circle)) for circle in circles - ALLOWED.keys()} == set()


def test_every_circle_that_is_allowed_is_there(circles: set[frozenset[str]]) -> None:
    assert ALLOWED.keys() <= circles


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        ("import apps.first", {frozenset({"apps.first", "apps.second"})}),
        ("from apps import first", {frozenset({"apps.first", "apps.second"})}),
        ("def later():\n    from apps.first import one", {frozenset({"apps.first", "apps.second"})}),
        ("if TYPE_CHECKING:\n    from apps.first import one", set()),
        ("import os", set()),
    ],
    ids=["module", "from its package", "inside a function", "for type checkers only", "another"],
)
def test_a_circle_is_found_wherever_the_import_stands(second: str, wanted: set[frozenset[str]]) -> None:
    modules = {"apps.first": "from apps.second import two", "apps.second": second, "apps.third": "import apps.first"}
    assert circles_of(graph_of(modules)) == wanted
