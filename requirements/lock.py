"""Writes the locks beside this file from pyproject.toml: `make lock`.

Each lock pins the full closure of one set and is plain enough for pip alone. A version that is already locked stays
until pyproject.toml asks for another one, or this is called with `--upgrade`.

Two things are taken out of what pip-compile writes, because they differ from machine to machine:

- the local part of a version (`torch==2.13.0+cpu`), so that a build with an accelerator satisfies the same pin;
- triton, which a torch with an accelerator pins itself, and which autoawq asks for without a version.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SETS = ("web", "worker", "dev")
MACHINE_DEPENDENT = ("triton",)
HEADER = "# The {name} set of pyproject.toml and all that it needs, written by `make lock`: change pyproject.toml.\n"


def compile_lock(name: str, smaller: str | None, extra_arguments: list[str]) -> str:
    """The lock of one set as pip-compile writes it, held to the versions of the next smaller set."""
    output = FOLDER / f"{name}.txt"
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", f"--extra={name}", f"--output-file={output}"]
    command += ["--strip-extras", "--allow-unsafe", "--annotation-style=line", "--no-header", "--no-emit-options"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    if smaller:
        command += ["--constraint", str(FOLDER / f"{smaller}.txt")]
    subprocess.run([*command, *extra_arguments, "pyproject.toml"], cwd=FOLDER.parent, check=True)
    return output.read_text()


def portable(lock: str) -> str:
    """The lock without what only holds on the machine that wrote it. Annotations keep only the names of packages."""
    lines = []
    for line in lock.splitlines():
        pin, _, via = line.partition("# via ")
        pin = re.sub(r"\+[a-z0-9.]+(?=\s|$)", "", pin.strip())
        name, is_pin, _ = pin.partition("==")
        if not is_pin or name.startswith("#") or name in MACHINE_DEPENDENT:
            continue
        needed_by = via.replace(" (pyproject.toml)", "")
        needed_by = ", ".join(name for name in needed_by.split(", ") if name and not name.startswith("-c "))
        lines.append(f"{pin:<40}# via {needed_by}".rstrip() if needed_by else pin)
    return "\n".join(sorted(lines, key=str.lower)) + "\n"


def main() -> None:
    smaller = None
    for name in SETS:
        lock = compile_lock(name, smaller, sys.argv[1:])
        (FOLDER / f"{name}.txt").write_text(HEADER.format(name=name) + portable(lock))
        smaller = name


if __name__ == "__main__":
    main()
