"""Writes the locks beside this file from pyproject.toml: `make lock`.

Each lock pins the full closure of one set and is plain enough for pip alone. A version that is already locked stays
until pyproject.toml asks for another one, or this is called with `--upgrade`.

Torch of one version has several builds, and each asks for libraries of its own. What it asks for beside Python packages
(CUDA's libraries, triton) is pinned in the lock of workers with an accelerator and in no other: there pip takes the
build that the operator's index offers, such as `torch==2.13.0+cpu`. So locks name versions without their local part.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
HEADER = "# The {name} set of pyproject.toml and all that it needs, written by `make lock`: change pyproject.toml.\n"
NEEDS_NO_DEVICE = ("nvidia-ml-py",)
"""Asks the driver about devices, in plain Python."""


@dataclass(frozen=True)
class Lock:
    """A set of pyproject.toml, held to the versions that the lock of `within` has."""

    name: str
    within: str | None = None
    with_cuda: bool = False


LOCKS = (
    Lock("web"),
    Lock("worker-cpu", within="web"),
    Lock("worker-gpu", within="worker-cpu", with_cuda=True),
    Lock("dev", within="worker-cpu"),
)


def of_a_device(package: str) -> bool:
    """Whether a torch with an accelerator brings this package, or one for the CPU would not ask for it."""
    return package.startswith(("cuda-", "nvidia-", "triton")) and package not in NEEDS_NO_DEVICE


def compile_lock(lock: Lock, extra_arguments: list[str]) -> str:
    """The lock of one set as pip-compile writes it, held to the versions of the next smaller set."""
    output = FOLDER / f"{lock.name}.txt"
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", f"--extra={lock.name}"]
    command += [f"--output-file={output}", "--strip-extras", "--allow-unsafe", "--annotation-style=line", "--no-header"]
    command += ["--no-emit-options", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    if lock.within:
        command += ["--constraint", str(FOLDER / f"{lock.within}.txt")]
    subprocess.run(
        [*command, *extra_arguments, "pyproject.toml"], cwd=FOLDER.parent, check=True, env=environment_of(lock)
    )
    return output.read_text()


def environment_of(lock: Lock) -> dict[str, str]:
    """The variables for pip. A lock with CUDA's libraries is made from the package index alone: a folder of wheels,
    or a further index, may offer a torch that needs none of them.
    """
    if not lock.with_cuda:
        return dict(os.environ)
    others = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")
    return {name: value for name, value in os.environ.items() if name not in others} | {"PIP_CONFIG_FILE": os.devnull}


def portable(lock: str, *, with_cuda: bool = False) -> str:
    """The lock without what only holds on the machine that wrote it. Annotations keep only the names of packages."""
    lines = []
    for line in lock.splitlines():
        pin, _, via = line.partition("# via ")
        pin = re.sub(r"\+[a-z0-9.]+(?=\s|$)", "", pin.strip())
        name, is_pin, _ = pin.partition("==")
        if not is_pin or name.startswith("#") or (of_a_device(name) and not with_cuda):
            continue
        needed_by = via.replace(" (pyproject.toml)", "")
        needed_by = ", ".join(name for name in needed_by.split(", ") if name and not name.startswith("-c "))
        lines.append(f"{pin:<40}# via {needed_by}".rstrip() if needed_by else pin)
    return "\n".join(sorted(lines, key=str.lower)) + "\n"


def main() -> None:
    for lock in LOCKS:
        written = portable(compile_lock(lock, sys.argv[1:]), with_cuda=lock.with_cuda)
        (FOLDER / f"{lock.name}.txt").write_text(HEADER.format(name=lock.name) + written)


if __name__ == "__main__":
    main()
