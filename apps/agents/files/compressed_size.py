"""How many bytes a file takes as a compressed download, without writing it."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

_RAW_DEFLATE = -15
_LEVEL = 6
"""zlib's default, which zip, gzip and web servers use."""
_READ_BYTES = 1 << 20


def compressed_bytes(file: Path) -> int:
    """The bytes of the file in DEFLATE, as a zip stores it, without the archive's own hundred bytes or so.

    A file that does not compress counts as it is, because a zip would store it.
    """
    packer, packed, plain = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE), 0, 0
    with file.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            plain += len(chunk)
            packed += len(packer.compress(chunk))
    return min(plain, packed + len(packer.flush()))


def compressed_share(file: Path) -> float:
    """The ratio of the file's bytes in DEFLATE to its bytes, from 0 to 1. For a zip, of its unpacked contents.

    It does not depend on whether whoever packed the file has compressed it.
    """
    return min(1.0, compressed_bytes(file) / max(1, _unpacked_bytes(file)))


def _unpacked_bytes(file: Path) -> int:
    if not zipfile.is_zipfile(file):
        return file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        return sum(entry.file_size for entry in archive.infolist())
