"""The GitHub Action's scripts, as GitHub runs them: with inputs, and with tools in the place of others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping

import yaml

from tests.clients.conftest import PATIENCE_S, Command
from tests.live_portal import ROOT

FOLDER = ROOT / "clients" / "python" / "action"
TOOLS = {
    "pip": "#!/bin/sh\n",
    "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
    "lathe": f'#!/bin/sh\nexec "{sys.executable}" -m lathe_client "$@"\n',
}
"""The client is not installed, but taken from the checkout."""


def step(
    lathe: Command, name: str, asked: Mapping[str, object], tools: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the action's step with this id in the command's home. `asked` are inputs; the others have their defaults."""
    action = yaml.safe_load((FOLDER / "action.yml").read_text())
    inputs = {name: one.get("default", "") for name, one in action["inputs"].items()} | asked
    script = next(one for one in action["runs"]["steps"] if one.get("id") == name)
    home = lathe.home
    known = {f"inputs.{name}": str(value) for name, value in inputs.items()}
    known |= {"inputs.url": lathe.known.get("LATHE_URL", ""), "inputs.token": lathe.known.get("LATHE_TOKEN", "")}
    known |= {
        "github.action_path": str(FOLDER),
        "runner.temp": str(home),
        "github.token": "job",
        "github.repository": "o/r",
    }
    known |= {"github.server_url": "https://git.example.org", "github.event.pull_request.number": "7"}
    told = {
        name: re.sub(r"\$\{\{ (\S+) \}\}", lambda found: known[found[1]], text) for name, text in script["env"].items()
    }
    folder = home / "bin"
    folder.mkdir(exist_ok=True)
    for tool, text in {**TOOLS, **(tools or {})}.items():
        (folder / tool).write_text(text)
        (folder / tool).chmod(0o755)
    places = {"GITHUB_OUTPUT": str(home / "output"), "GITHUB_STEP_SUMMARY": str(home / "summary")}
    return subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script["run"]],
        cwd=home,
        env={**lathe.environment, **told, **places, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
