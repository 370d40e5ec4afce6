"""Environments of the peers that do not go with Lathe's libraries, made on first use in build/peers."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.own_portal import ROOT
from benchmarks.peers.catalogue import OWN

PLACE = ROOT / "build" / "peers" / "environments"
PINNED = {
    "nncf": ("nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.32.0"),
    "olive": (
        "olive-ai==0.13.0",
        "onnxruntime==1.32.0",
        "requests==2.34.2",
        "torch==2.13.0",
    ),  # It imports requests undeclared.
}
INSTALL_WITHIN_S = 1800
READY = "ready"
"""A file in an environment whose installation has ended well, with the requirements that it was made of."""


class EnvironmentMissing(Exception):
    """A peer's environment cannot be made here; the message says why."""


@cache
def python_of(name: str) -> Path:
    """The interpreter of the environment `name`, which is made if there is none. Raises `EnvironmentMissing`."""
    if name == OWN:
        return Path(sys.executable)
    folder = PLACE / name
    wanted = "\n".join(PINNED[name])
    if not (folder / READY).is_file() or (folder / READY).read_text(encoding="utf-8") != wanted:
        _install(folder, PINNED[name])
        (folder / READY).write_text(wanted, encoding="utf-8")
    return folder / "bin" / "python"


def _install(folder: Path, requirements: tuple[str, ...]) -> None:
    print(f"Installing {', '.join(requirements)} into {folder.relative_to(ROOT)} …", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *requirements])


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentMissing(f"not installed within {INSTALL_WITHIN_S // 60} minutes") from error
    except subprocess.CalledProcessError as error:
        raise EnvironmentMissing(f"not installed: {last_error(error.stderr)}") from error


def last_error(text: str) -> str:
    """The last line of `text` that names an error, or else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1]
