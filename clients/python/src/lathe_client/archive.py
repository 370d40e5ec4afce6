"""A package's zip, read strictly: what one program would unpack is what every other program unpacks.

The zip format leaves room for bytes that no file is read from, and for files that only some programs see. Lathe writes
none of them, so anything of this kind means that the file was changed.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lathe_client.errors import LatheError

SEAL = re.compile(rb"lathe-sha256:([0-9a-f]{64})")
SEAL_BYTES = len(b"lathe-sha256:") + 64
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ZIP64 = struct.Struct("<2H2Q")
_LOCAL_SIGNATURE, _IN_EXTRA, _UTF_8 = b"PK\x03\x04", 0xFFFFFFFF, 0x0800
_READ_BYTES = 1 << 20
DAMAGE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, ValueError, NotImplementedError, struct.error)
"""What reading a damaged zip can raise."""


class Refused(LatheError):
    """The package is not as it was delivered. The message says what differs."""


def unsealed(path: Path) -> str | None:
    """What the seal at the end of the file says against it, in a sentence; `None` if the seal holds.

    The seal has the SHA-256 of all bytes before it, so it shows every change that was not made to deceive.
    """
    rest = path.stat().st_size - SEAL_BYTES
    with path.open("rb") as file:
        file.seek(max(rest, 0))
        found = SEAL.fullmatch(file.read())
        if found is None:
            return "It does not end with the seal that Lathe puts on packages."
        if _digest(file, 0, rest) != found[1].decode():
            return "Its bytes are not those that were sealed."
    return None


def digests(path: Path) -> dict[str, str]:
    """The SHA-256 of every file in the zip, by name. Raises `Refused` if there is anything else in it."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            infos, end = archive.infolist(), archive.start_dir
            _refuse_names([info.filename for info in infos])
            return dict(_contents(file, infos, end))
    except DAMAGE as error:
        raise Refused(f"The zip cannot be read: {error}.") from error


def member(path: Path, name: str) -> bytes:
    """One file of the zip. Raises `Refused` if it is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (KeyError, *DAMAGE) as error:
        raise Refused(f"{name} cannot be read from the package: {error}.") from error


def _refuse_names(names: list[str]) -> None:
    """Two files of one name, or paths that lead out of the folder."""
    folded = [name.casefold() for name in names]
    for name in names:
        if folded.count(name.casefold()) > 1:
            raise Refused(f"It contains {name!r} twice.")
        parts = name.split("/")
        if "\\" in name or "\0" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
            raise Refused(f"The name {name!r} is not that of a file in a package.")


def _contents(file: BinaryIO, infos: list[zipfile.ZipInfo], end: int) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of each file, if they lie one behind the other from the file's first byte to `end`."""
    place = 0
    for info in infos:
        if info.header_offset != place:
            raise Refused(f"There are bytes before {info.filename!r} that do not belong to a file.")
        file.seek(place)
        place += _header(file, info) + info.compress_size
        yield info.filename, _unpacked_digest(file, info)
    if place != end:
        raise Refused("There are bytes after the last file that do not belong to a file.")


def _header(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Reads the header in front of a file, and returns its length. It must say what the zip's directory says."""
    fields = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    name, extra = file.read(fields[9]), file.read(fields[10])
    described = (*fields[:1], *fields[2:4], fields[6])
    same = described == (_LOCAL_SIGNATURE, info.flag_bits, info.compress_type, info.CRC)
    sizes = (info.compress_size, info.file_size)
    if fields[7:9] == (_IN_EXTRA, _IN_EXTRA):
        same = same and extra == _ZIP64.pack(1, 16, *reversed(sizes))
    else:
        same = same and fields[7:9] == sizes and not extra
    if not same or info.flag_bits & ~_UTF_8 or name != info.orig_filename.encode(_encoding(info)):
        raise Refused(f"The zip describes {info.filename!r} in two ways.")
    return _LOCAL_HEADER.size + len(name) + len(extra)


def _encoding(info: zipfile.ZipInfo) -> str:
    return "utf-8" if info.flag_bits & _UTF_8 else "cp437"


def _unpacked_digest(file: BinaryIO, info: zipfile.ZipInfo) -> str:
    """The SHA-256 of a file's contents, of which every packed byte is a part."""
    digest, crc, size = hashlib.sha256(), 0, 0
    for part in _unpacked(file, info):
        digest.update(part)
        crc, size = zlib.crc32(part, crc), size + len(part)
    if (crc, size) != (info.CRC, info.file_size):
        raise Refused(f"The contents of {info.filename!r} are damaged.")
    return digest.hexdigest()


def _unpacked(file: BinaryIO, info: zipfile.ZipInfo) -> Iterator[bytes]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused(f"{info.filename!r} is packed in a way that Lathe does not use.")
    rest = info.compress_size
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if info.compress_type == zipfile.ZIP_DEFLATED else None
    while rest and (read := file.read(min(rest, _READ_BYTES))):
        rest -= len(read)
        if inflate is None:
            yield read
            continue
        yield inflate.decompress(read, _READ_BYTES)
        while inflate.unconsumed_tail:
            yield inflate.decompress(inflate.unconsumed_tail, _READ_BYTES)
    if rest or (inflate is not None and (not inflate.eof or inflate.unused_data)):
        raise Refused(f"The contents of {info.filename!r} are damaged.")


def _digest(file: BinaryIO, start: int, length: int) -> str:
    digest = hashlib.sha256()
    file.seek(start)
    while length > 0 and (read := file.read(min(length, _READ_BYTES))):
        digest.update(read)
        length -= len(read)
    return digest.hexdigest()
