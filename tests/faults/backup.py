"""Backup and restore by the commands that docs/deployment.md shows operators, without their containers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from lathe.env import PROJECT_ROOT
from tests.faults.postgres import program
from tests.faults.system import System

DOCS = PROJECT_ROOT / "docs" / "deployment.md"
KEY = "secret_key"
HOME = "/var/lib/lathe"
"""Where the files are in a container."""
_SHOWN = re.compile(
    r"^docker compose (?:exec|run) .*?\b(?:postgres|web) ((?:pg_dump|pg_restore|tar) .*)$", re.MULTILINE
)


def commands(heading: str, before: str = "") -> list[str]:
    """The commands in the section `heading` that a container runs, up to the line with `before`."""
    section = DOCS.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return _SHOWN.findall(section.partition(before)[0] if before else section)


def back_up(system: System, folder: Path) -> None:
    """The database, then the files, and the key, which operators keep by themselves, into `folder`."""
    database, files = commands("Backup", "To restore")
    _run(system, database, folder)
    _run(system, files, folder)
    shutil.copy(system.var / KEY, folder / KEY)


def restore(system: System, folder: Path) -> None:
    """Fills an empty installation from `folder`."""
    database, files = commands("Backup")[2:]
    _run(system, database, folder)
    _run(system, files, folder)
    shutil.copy(folder / KEY, system.var / KEY)


def _run(system: System, shown: str, folder: Path) -> None:
    words = shlex.split(shown.replace(HOME, str(system.var)), posix=True)
    source = target = None
    for sign in ("<", ">"):
        if sign in words:
            at = words.index(sign)
            path = folder / words[at + 1]
            source, target = (path, target) if sign == "<" else (source, path)
            del words[at : at + 2]
    found = program(words[0]) if words[0].startswith("pg_") else words[0]
    variables = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(system.cluster.port)}
    with open(source or os.devnull, "rb") as given, open(target or os.devnull, "wb") as made:
        done = subprocess.run(
            [str(found), *words[1:]], stdin=given, stdout=made, stderr=subprocess.PIPE, env=variables, check=False
        )
    assert done.returncode == 0, f"{shown}: {done.stderr.decode()}"
