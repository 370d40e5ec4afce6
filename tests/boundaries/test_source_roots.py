"""`platform/` is a source root and not a package: Python's own `platform` stays in sight from everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lathe.env import PROJECT_ROOT

ASK = "import platform; print(platform.system())"


def test_platform_has_no_init_file():
    assert not (PROJECT_ROOT / "platform" / "__init__.py").exists()


def said(command: list[str], folder: Path, **environment: str) -> str:
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=bare | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


@pytest.mark.parametrize("folder", [PROJECT_ROOT, Path("/")], ids=["in the project", "elsewhere"])
def test_python_finds_its_own_platform_module(folder):
    assert said([sys.executable, "-c", ASK], folder) == os.uname().sysname


def test_manage_py_finds_both():
    assert said([sys.executable, "manage.py", "shell", "--no-imports", "-c", ASK], PROJECT_ROOT) == os.uname().sysname


def test_the_installed_project_finds_both():
    """What `pip install -e .` puts on the path, seen from a folder that has nothing to do with the project."""
    found = said([sys.executable, "-c", f"import apps, lathe; {ASK}"], Path("/"))
    assert found == os.uname().sysname


def test_a_console_script_finds_both():
    """Scripts such as dramatiq's put the project's folder on the path themselves."""
    script = f"import sys; sys.path.insert(0, ''); {ASK}; import lathe, apps; {ASK}"
    assert said([sys.executable, "-c", script], PROJECT_ROOT) == os.uname().sysname
