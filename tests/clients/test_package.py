"""The client runs where Python 3.9 and httpx are, and brings nothing else along unless it is to check signatures."""

from __future__ import annotations

import ast
import sys
import tomllib

import pytest

from tests.live_portal import ROOT

FOLDER = ROOT / "clients" / "python"
SOURCES = sorted((FOLDER / "src").rglob("*.py"))
ALLOWED = {*sys.stdlib_module_names, "httpx", "lathe_client"}
FOR_SIGNATURES = "signatures.py"
"""The module that may import the library of the extra, within the function that needs it."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_module_is_of_python_3_9_and_imports_only_httpx_besides(path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name for node in imports for name in _modules(node)}
    allowed = {*ALLOWED, "cryptography"} if path.name == FOR_SIGNATURES else ALLOWED
    assert {name.partition(".")[0] for name in names} <= allowed
    assert not {name.partition(".")[0] for node in tree.body if node in imports for name in _modules(node)} - ALLOWED


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]


def test_the_package_asks_for_httpx_alone() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    assert [one.partition(">")[0] for one in project["dependencies"]] == ["httpx"]
    assert project["optional-dependencies"] == {"signatures": ["cryptography>=42"]}
    assert project["requires-python"] == ">=3.9"
