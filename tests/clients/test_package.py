"""The client runs where Python 3.9 and httpx are, and brings nothing else along unless it is to check signatures."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

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


def oldest_python() -> Path | None:
    """A Python 3.9 that starts: pyenv's on the PATH starts only where pyenv is told to."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [shutil.which("python3.9"), *sorted(pyenv.glob("versions/3.9.*/bin/python3.9"))]
    return next((Path(one) for one in found if one and said(Path(one), "-c", "import ensurepip") is not None), None)


def said(*command: Path | str) -> str | None:
    """What the command prints; `None` if it fails."""
    bare = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    ran = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=120, check=False)
    print(ran.stdout, ran.stderr)
    return ran.stdout if ran.returncode == 0 else None


@pytest.mark.children
@pytest.mark.portable
@pytest.mark.slow
def test_it_installs_and_runs_on_python_3_9(unsigned: Path, tmp_path: Path) -> None:
    python = oldest_python()
    if python is None:
        pytest.skip("there is no Python 3.9 here")
    shutil.copytree(FOLDER, tmp_path / "client", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    made = tmp_path / "venv"
    assert said(python, "-m", "venv", made) is not None
    if said(made / "bin" / "pip", "download", "--quiet", "--no-deps", "--dest", tmp_path, "httpx") is None:
        pytest.skip("the package index does not answer")
    assert said(made / "bin" / "pip", "install", "--quiet", tmp_path / "client") is not None
    lathe = made / "bin" / "lathe"
    assert "verify" in (said(lathe, "--help") or "")
    assert "is unchanged" in (said(lathe, "verify", unsigned) or "")
    modules = ", ".join(f"lathe_client.{path.stem}" for path in SOURCES)
    assert said(made / "bin" / "python", "-c", f"import {modules}") is not None
