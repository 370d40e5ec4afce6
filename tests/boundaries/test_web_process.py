"""The web process starts without any machine-learning library: the third net, beside import-linter and ruff."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib

from lathe.env import PROJECT_ROOT
from lathe.processes import python_path

PYPROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())
CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]
HEAVY = {module for c in CONTRACTS if c["name"].startswith("No ") for module in c["forbidden_modules"]}


def modules_after(*imports: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `imports`."""
    script = f"import {', '.join(imports)}, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": python_path(), "DJANGO_SETTINGS_MODULE": "lathe.settings"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_the_web_server_loads_no_machine_learning_library():
    loaded = modules_after("lathe.asgi", "lathe.urls")
    assert {"django", "rest_framework", "apps"} <= loaded
    assert loaded & HEAVY == set()


def test_the_actors_load_no_machine_learning_library():
    """Workers are as light: only their children load what a step needs."""
    loaded = modules_after("django_dramatiq.setup", "apps.optimization.actors")
    assert loaded & HEAVY == set()


def test_the_craft_loads_neither_django_nor_a_backend():
    loaded = modules_after(
        "apps.agents.contracts.criteria",
        "apps.agents.techniques.catalogue",
        "apps.agents.contracts.state",
        "apps.agents.contracts.reports",
    )
    assert loaded & (HEAVY | {"django", "rest_framework", "channels", "dramatiq"}) == set()


def test_the_three_nets_hold_the_same_libraries():
    ruff = PYPROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    assert set(ruff) == HEAVY
