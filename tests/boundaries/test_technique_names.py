"""No agent knows a technique by its name: what is to be known of one stands on its spec."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.techniques.catalogue import BUILTIN

AGENTS = Path(__file__).parents[2] / "apps" / "agents"
KNOWING = {"techniques", "backends"}
ROOMS = sorted(path.name for path in AGENTS.iterdir() if (path / "__init__.py").is_file() and path.name not in KNOWING)


@pytest.mark.parametrize("room", ROOMS)
def test_no_technique_is_named(room: str) -> None:
    named = [
        f"{path.relative_to(AGENTS)}: {spec.name}"
        for path in sorted((AGENTS / room).rglob("*.py"))
        for spec in BUILTIN
        if spec.name in path.read_text()
    ]
    assert named == []


@pytest.mark.parametrize("room", ROOMS)
def test_only_what_all_techniques_share_is_imported(room: str) -> None:
    """A framework's module of knowledge has one reader: the specs that refer to it."""
    shared = {"fragility", "kernels", "profile", "tables", "technique", "variant"}
    prefix = "from apps.agents.techniques.knowledge."
    read = {
        line.removeprefix(prefix).split()[0]
        for path in sorted((AGENTS / room).rglob("*.py"))
        for line in path.read_text().splitlines()
        if line.strip().startswith(prefix)
    }
    assert read <= shared
