"""How many bytes a file takes as a compressed download: in DEFLATE or in Zstandard, whichever is smaller."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, Protocol

_RAW_DEFLATE = -15
_LEVEL = 6
"""zlib's default, which zip, gzip and web servers use."""
_REPETITIVE = 0.8
"""Below this share in DEFLATE, a file has values that repeat, and is worth the slow search for them."""
_QUICK, _MIDDLE, _THOROUGH = 3, 12, 19
_THOROUGH_BYTES = 64_000_000
"""Larger files are compressed at the middle level: the thorough one takes about a second for each megabyte."""
_READ_BYTES = 1 << 20


class Coding(StrEnum):
    """How a file is entropy-coded for a download."""

    DEFLATE = "deflate"
    """As a zip stores it."""
    ZSTANDARD = "zstandard"
    """RFC 8878, as a `.zst` file."""


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def compressed_sizes(file: Path) -> dict[Coding, int]:
    """The bytes of the file in each coding, without an archive's own hundred bytes or so."""
    deflated = _packed_bytes(file, zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE))
    return {Coding.DEFLATE: deflated, Coding.ZSTANDARD: _packed_bytes(file, _zstandard(file, deflated))}


def compressed_bytes(file: Path) -> int:
    """The bytes of the file in the coding that makes it smallest.

    A file that does not compress counts as it is, because a zip would store it.
    """
    return min(file.stat().st_size, *compressed_sizes(file).values())


def compressed_share(file: Path) -> float:
    """The ratio of the file's compressed bytes to its bytes, from 0 to 1. For a zip, of its unpacked contents.

    It hardly depends on whether whoever packed the file has compressed it.
    """
    return min(1.0, compressed_bytes(file) / max(1, _unpacked_bytes(file)))


def write_zstandard(file: Path, target: Path) -> Path:
    """Write the file to `target` as the `.zst` that `compressed_sizes` counts, with a checksum of its contents."""
    deflated = compressed_sizes(file)[Coding.DEFLATE]
    with target.open("wb") as writer:
        writer.writelines(_packed(file, _zstandard(file, deflated)))
    return target


def read_zstandard(file: Path, target: IO[bytes]) -> None:
    """Restore what `write_zstandard` has written, bit for bit. Raises `zstandard.ZstdError` for damaged files."""
    import zstandard

    with file.open("rb") as reader:
        zstandard.ZstdDecompressor().copy_stream(reader, target)


def _packed_bytes(file: Path, packer: _Packer) -> int:
    return sum(map(len, _packed(file, packer)))


def _packed(file: Path, packer: _Packer) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            yield packer.compress(chunk)
    yield packer.flush()


def _zstandard(file: Path, deflated: int) -> _Packer:
    """Imports the library, which only workers have."""
    import zstandard

    size_bytes = file.stat().st_size
    level = _QUICK
    if deflated < _REPETITIVE * size_bytes:
        level = _THOROUGH if size_bytes <= _THOROUGH_BYTES else _MIDDLE
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj(size=size_bytes)


def _unpacked_bytes(file: Path) -> int:
    if not zipfile.is_zipfile(file):
        return file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        return sum(entry.file_size for entry in archive.infolist())
