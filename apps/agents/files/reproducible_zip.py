"""Zip archives whose bytes depend only on their contents: without dates, owners, or the order of a folder.

One may be *sealed*: its comment, the last bytes of the file, has the SHA-256 of all bytes before. A digest of each file
cannot show every change, because a zip also has bytes that no file is read from.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that the format can store."""
_UNIX = 3
_REGULAR_READABLE_FILE = 0o100644 << 16
_COPY_BYTES = 1 << 20
_SEAL = b"lathe-sha256:"
_OPEN_SEAL = _SEAL + b"0" * 64


def write_zip(target: Path, entries: Sequence[tuple[str, Path]], *, compress: bool) -> Path:
    """Write the files of `entries` to `target` under their names, in this order. Any size, in bounded memory.

    Weights hardly compress, so archives of models are stored: `compress=False`.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name, source in entries:
            with source.open("rb") as reader, archive.open(_entry(name, compress), "w", force_zip64=True) as writer:
                shutil.copyfileobj(reader, writer, _COPY_BYTES)
    return target


def add_to_zip(target: Path, name: str, content: bytes) -> None:
    """Adds a compressed file at the end of an archive of `write_zip`. A seal is broken by this."""
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(_entry(name, compress=True), content)


def seal(target: Path) -> None:
    """Seals an archive, instead of a seal that it may have."""
    with zipfile.ZipFile(target, "a") as archive:
        archive.comment = _OPEN_SEAL
    with target.open("r+b") as file:
        rest = file.seek(-len(_OPEN_SEAL), 2)
        file.seek(0)
        digest = hashlib.sha256()
        while rest and (read := file.read(min(rest, _COPY_BYTES))):
            digest.update(read)
            rest -= len(read)
        file.seek(-64, 2)
        file.write(digest.hexdigest().encode())


def _entry(name: str, compress: bool) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.create_system = _UNIX
    info.external_attr = _REGULAR_READABLE_FILE
    info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    return info
