"""The table of scenarios in docs/testing.md: each names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| (.+?) \| `(tests/[\w/]+\.py)::(\w+)` \|$", (ROOT / "docs/testing.md").read_text(), re.MULTILINE)
AGENTS = (
    "AnalysisAgent",
    "PlanningAgent",
    "OptimizationManager",
    "QuantizationAgent",
    "PruningAgent",
    "DistillationAgent",
    "CompressionAgent",
    "ArchitectureSearchAgent",
    "EvaluationAgent",
    "MemoryManager",
    "NotificationService",
)


@pytest.mark.parametrize(("system", "file", "name"), ROWS, ids=[name for _, _, name in ROWS])
def test_a_scenario_is_a_test(system: str, file: str, name: str) -> None:
    functions = [node for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)]
    found = [function for function in functions if function.name == name]
    assert found, f"{system}: {file} has no {name}"
    marks = {ast.unparse(mark) for mark in found[0].decorator_list}
    assert not any("skip" in mark and "skipif" not in mark for mark in marks), f"{system}: its scenario is skipped"


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_has_a_scenario(agent: str) -> None:
    assert any(agent in system for system, _, _ in ROWS)


def test_no_line_of_the_table_is_passed_over() -> None:
    table = (ROOT / "docs/testing.md").read_text().partition("| system | scenario |")[2]
    assert len(ROWS) == table.count("\n| ") > 25
