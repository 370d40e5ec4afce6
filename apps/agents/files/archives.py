"""Unpacks an untrusted archive: everything is checked before a byte is written.

Only zip. The entries' names, types and sizes are read from the central directory. An entry cannot exceed what it
declares there, because the reader stops at the declared size and compares the checksum.
"""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from apps.agents.contracts.errors.archives import (
    ArchiveBomb,
    ArchiveCompression,
    ArchiveDamaged,
    ArchiveDuplicate,
    ArchiveEncrypted,
    ArchiveLink,
    ArchivePathEscape,
)

MIB = 1024 * 1024
_ENCRYPTED = 0x1
_READABLE = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})
_CHUNK_BYTES = MIB
_LONGEST_PART_BYTES = 255
_LONGEST_NAME_BYTES = 1024
DAMAGE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
"""Errors from reading a damaged entry. An `OSError` without a number is bz2's; otherwise the machine is at fault."""


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to. The ratio applies only above `ratio_from_bytes`: a few zeros are not a bomb."""

    total_bytes: int = 8 * 1024 * MIB
    entries: int = 200_000
    ratio: float = 200.0
    ratio_from_bytes: int = 64 * MIB


@dataclass(frozen=True)
class Entry:
    """One file of an archive, checked. `name` is relative and normalized."""

    name: PurePosixPath
    size_bytes: int
    info: zipfile.ZipInfo


def contents(archive: Path, limits: Limits | None = None) -> tuple[Entry, ...]:
    """The files of a zip, in its order, after all of them have been checked.

    Raises one of the `Archive…` errors of `contracts.errors` for an archive that cannot be read, an absolute or
    escaping path, a link or device, an encrypted entry, a duplicate name, an unknown compression, or more bytes than
    `limits` allow.
    """
    with _opened(archive) as opened:
        infos = opened.infolist()
    _refuse_bombs(infos, archive.stat().st_size, limits or Limits())
    entries = []
    for info in infos:
        name = _safe_name(info)
        if not info.is_dir():
            entries.append(Entry(name, info.file_size, info))
    _refuse_duplicates(entries)
    return tuple(entries)


def unpack(archive: Path, target: Path, limits: Limits | None = None) -> tuple[Path, ...]:
    """Write the files of `archive` under `target`, which is created. Returns the paths in the archive's order.

    The checks of `contents` come first. Damage is only detected while reading; the files written so far are then
    removed.
    """
    entries = contents(archive, limits)
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        with _opened(archive) as opened:
            for entry in entries:
                path = target / entry.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry.info) as source, path.open("xb") as sink:
                    written.append(path)
                    shutil.copyfileobj(source, sink, _CHUNK_BYTES)
    except DAMAGE as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveDamaged(reason=str(error) or type(error).__name__) from error
    return tuple(written)


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise ArchiveDamaged(reason=str(error) or type(error).__name__) from error


def _refuse_bombs(infos: list[zipfile.ZipInfo], packed_bytes: int, limits: Limits) -> None:
    total = sum(info.file_size for info in infos)
    if len(infos) > limits.entries:
        raise ArchiveBomb(reason=f"it has {len(infos):,} entries, but only {limits.entries:,} are allowed")
    if total > limits.total_bytes:
        raise ArchiveBomb(
            reason=f"it unpacks to {total / MIB:,.0f} MiB, but only {limits.total_bytes / MIB:,.0f} MiB are allowed"
        )
    if total > limits.ratio_from_bytes and total > limits.ratio * packed_bytes:
        ratio = f"{total / packed_bytes:,.0f}"
        raise ArchiveBomb(
            reason=f"it unpacks to {ratio} times its size, but only {limits.ratio:,.0f} times are allowed"
        )


def _safe_name(info: zipfile.ZipInfo) -> PurePosixPath:
    """The entry's path, or the reason to refuse it."""
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode) or (stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))):
        raise ArchiveLink(name=info.filename)
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveEncrypted(name=info.filename)
    if info.compress_type not in _READABLE:
        raise ArchiveCompression(name=info.filename, method=info.compress_type)
    raw = info.orig_filename
    name = unpacked_name(info)
    if "\x00" in raw or name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:", raw):
        raise ArchivePathEscape(name=info.filename)
    if not name.parts:
        raise ArchivePathEscape(name=info.filename)
    lengths = [len(part.encode(errors="surrogateescape")) for part in name.parts]
    if max(lengths) > _LONGEST_PART_BYTES or sum(lengths) + len(lengths) > _LONGEST_NAME_BYTES:
        raise ArchiveDamaged(reason=f"the name {str(name)[:40]}… is longer than a file system accepts")
    return name


def unpacked_name(info: zipfile.ZipInfo) -> PurePosixPath:
    """The path to which the entry would be unpacked: neither `a.py/.` nor `a.py\\` ends in .py, but both become `a.py`.

    zipfile cuts a name at a zero byte; the original name is in `orig_filename`.
    """
    return PurePosixPath(info.orig_filename.replace("\\", "/"))


def _refuse_duplicates(entries: list[Entry]) -> None:
    """Refuse two entries for one path, also if they differ only in case, and a file that is also a folder."""
    files: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        key = str(entry.name).casefold()
        parents = {str(parent).casefold() for parent in entry.name.parents} - {"."}
        if key in files or key in folders or parents & files:
            raise ArchiveDuplicate(name=str(entry.name))
        files.add(key)
        folders |= parents
