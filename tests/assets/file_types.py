"""Labelled files for magika: those of this Python installation, and archives made of them.

The label is what the extension says. Features are magika's, version 2 as its package documents it: the first and last
4,096 bytes without white space at the outer ends, of which the first and the last 1,024 count, padded with 256.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

BLOCK = 4096
SIDE = 1024
PADDING = 256
PER_TYPE = 40
SMALLEST_BYTES = 200
SEED = 0
TYPES = {  # no .html, .h, .txt: those of a Python installation are templates, C++ and anything
    ".c": "c",
    ".css": "css",
    ".csv": "csv",
    ".gif": "gif",
    ".js": "javascript",
    ".json": "json",
    ".md": "markdown",
    ".npy": "npy",
    ".npz": "npz",
    ".pem": "pem",
    ".png": "png",
    ".po": "po",
    ".py": "python",
    ".pyc": "pythonbytecode",
    ".rst": "rst",
    ".so": "elf",
    ".svg": "svg",
    ".toml": "toml",
    ".wav": "wav",
    ".xml": "xml",
}


def features(content: bytes) -> np.ndarray:
    """What the model sees of a file: int32 [2048]."""
    first, last = content[:BLOCK].lstrip(), content[-BLOCK:].rstrip()
    if len(content) <= BLOCK:
        first = last = content.strip()
    head, tail = np.full(SIDE, PADDING, np.int32), np.full(SIDE, PADDING, np.int32)
    beginning, end = first[:SIDE], last[-SIDE:]
    head[: len(beginning)] = np.frombuffer(beginning, np.uint8)
    tail[SIDE - len(end) :] = np.frombuffer(end, np.uint8)
    return np.concatenate([head, tail])


def write_examples(config: Path, path: Path) -> None:
    """Write `bytes` (int32 [N, 2048]) and `y` (index into the model's 214 labels) to the npz `path`."""
    labels: list[str] = json.loads(config.read_text())["target_labels_space"]
    found = [(features(content), labels.index(label)) for content, label in _files()]
    order = np.random.default_rng(SEED).permutation(len(found))
    inputs = np.stack([found[i][0] for i in order])
    np.savez_compressed(path, bytes=inputs, y=np.array([found[i][1] for i in order], dtype=np.int64))


def _files() -> Iterator[tuple[bytes, str]]:
    """Contents and labels: up to `PER_TYPE` files of each type, then archives of Python sources."""
    by_type: dict[str, list[Path]] = {extension: [] for extension in TYPES}
    for root in sorted({sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}):
        for folder, _, names in os.walk(root):
            for name in names:
                if (extension := os.path.splitext(name)[1]) in by_type:
                    by_type[extension].append(Path(folder, name))
    generator = np.random.default_rng(SEED)
    sources: list[bytes] = []
    for extension, paths in by_type.items():
        chosen = 0
        paths.sort()
        for index in generator.permutation(len(paths)):
            if chosen == PER_TYPE:
                break
            content = paths[index].read_bytes()
            if len(content) >= SMALLEST_BYTES:
                chosen += 1
                sources += [content] if extension == ".py" else []
                yield content, TYPES[extension]
    for label, pack in _ARCHIVES.items():
        for source in sources[: PER_TYPE // 2]:
            yield pack(source), label


def _zip(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("module.py", content)
    return stream.getvalue()


def _tar(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("module.py")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


_ARCHIVES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "bzip": bz2.compress,
    "xz": lzma.compress,
    "zip": _zip,
    "tar": _tar,
}
