"""The table of scenarios in docs/testing.md: each names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PAGE = (ROOT / "docs/testing.md").read_text()
TEST = r"`(tests/[\w/]+\.py)::(\w+)`"
ROWS = re.findall(rf"^\| ([^|]+?) \| {TEST} \|$", PAGE, re.MULTILINE)
FLOWS = re.findall(rf"^\| ([^|]+?) \| {TEST} \| {TEST} \|$", PAGE, re.MULTILINE)
"""Each with the test by mouse and the test by keyboard."""
TESTS = [
    *ROWS,
    *((f"{flow}, by mouse", file, name) for flow, file, name, _, _ in FLOWS),
    *((f"{flow}, by keyboard", file, name) for flow, _, _, file, name in FLOWS),
]
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


@pytest.mark.parametrize(("system", "file", "name"), TESTS, ids=[name for _, _, name in TESTS])
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
    flows, systems = PAGE.partition("| flow | by mouse | by keyboard |")[2].split("| system | scenario |")
    assert len(FLOWS) == flows.count("\n| ") > 15
    assert len(ROWS) == systems.count("\n| ") > 25
