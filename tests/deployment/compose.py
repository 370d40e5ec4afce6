"""compose.yaml as compose itself reads it: held against its schema, with all variables and anchors filled in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deployment import tools

PROJECT = Path(__file__).resolve().parents[2]
FILES = ("--file", str(PROJECT / "compose.yaml"), "--env-file", "/dev/null")


def services(folder: Path, variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services, with those of every profile, for an operator who has set `variables`.

    Raises `CalledProcessError` if compose refuses the file. Without a variable that must be set, it must do so.
    """
    for missing in ("LATHE_SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_WEB_PASSWORD", "REDIS_WORKER_PASSWORD"):
        fewer = {name: value for name, value in variables.items() if name != missing}
        refused = _config(folder, fewer)
        assert refused.returncode != 0 and missing in refused.stderr, f"compose starts without {missing}"  # noqa: PT018
    told = _config(folder, variables)
    told.check_returncode()
    found: dict[str, dict[str, Any]] = _plain(json.loads(told.stdout)["services"])
    return found


def _config(folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(tools.compose(folder)), *FILES, "--profile", "gpu", "config", "--format", "json"]
    return subprocess.run(command, env=dict(variables), capture_output=True, text=True, check=False)


def _plain(value: Any) -> Any:
    """Without the doubled dollars with which compose writes a text that it has filled in."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.replace("$$", "$") if isinstance(value, str) else value
