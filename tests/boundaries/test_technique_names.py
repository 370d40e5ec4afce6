"""No agent knows a technique by its name: what is to be known of one stands on its spec."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from apps.agents.techniques.catalogue import BUILTIN

AGENTS = Path(__file__).parents[2] / "apps" / "agents"
KNOWING = {"techniques", "backends"}
ROOMS = sorted(path.name for path in AGENTS.iterdir() if (path / "__init__.py").is_file() and path.name not in KNOWING)


def _strings(path: Path) -> set[str]:
    """Every string in a module's code."""
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("room", ROOMS)
def test_no_technique_is_named(room: str) -> None:
    named = {
        str(path.relative_to(AGENTS)): sorted(found)
        for path in sorted((AGENTS / room).rglob("*.py"))
        if (found := _strings(path) & {spec.name for spec in BUILTIN})
    }
    assert named == {}


@pytest.mark.parametrize("room", ROOMS)
def test_only_what_all_techniques_share_is_imported(room: str) -> None:
    """A framework's module of knowledge has one reader: the specs that refer to it."""
    shared = {"cost", "fragility", "grid", "kernels", "profile", "speed_goal", "tables", "technique"}
    shared |= {"throughput", "variant"}
    prefix = "from apps.agents.techniques.knowledge."
    read = {
        line.removeprefix(prefix).split()[0]
        for path in sorted((AGENTS / room).rglob("*.py"))
        for line in path.read_text().splitlines()
        if line.strip().startswith(prefix)
    }
    assert read <= shared
