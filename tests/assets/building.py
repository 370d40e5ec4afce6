"""What is made of fetched packages: built once, in a process of its own, kept under the digest of its recipe.

The second call costs nothing, and a changed recipe makes a new folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.assets.fetch import alone, cache_folder, sha256

TIMEOUT_S = 600
_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]


class BuildError(Exception):
    """A recipe of ours failed; the message ends with what it said."""


def built(name: str, sources: tuple[str, ...], build: Callable[[Path], None]) -> Path:
    """The folder that `build` fills, from the cache if the recipe made it before: all of `sources` are its digest."""
    version = sha256(b"".join((_HERE / source).read_bytes() for source in sources))[:12]
    folder = cache_folder() / "built" / f"{name}-{version}"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        with alone(folder.name), tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            if folder.is_dir():  # Another test process has made it meanwhile.
                return folder
            whole = Path(scratch) / "whole"
            whole.mkdir()
            build(whole)
            whole.rename(folder)
    return folder


def run_recipe(source: str, *arguments: Path | str) -> None:
    """Run one of this folder's modules, so that what it imports stays out of the test process; one thread."""
    command = [sys.executable, "-m", f"tests.assets.{Path(source).stem}", *map(str, arguments)]
    # One core: more threads would only wait for each other where the tests share the machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, timeout=TIMEOUT_S, capture_output=True, text=True, env=environment, cwd=_ROOT)
    if done.returncode:
        raise BuildError(f"{source} ended with {done.returncode}: {done.stderr[-2000:]}")


def zip_folder(folder: Path, archive: Path) -> None:
    """Write the files of `folder` to `archive`, from its root on, stored as they are: weights do not compress."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            target.write(path, path.relative_to(folder).as_posix())
