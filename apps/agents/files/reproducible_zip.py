"""Zip archives whose bytes depend only on their contents: without dates, owners, or the order of a folder."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that the format can store."""
_UNIX = 3
_REGULAR_READABLE_FILE = 0o100644 << 16
_COPY_BYTES = 1 << 20


def write_zip(target: Path, entries: Sequence[tuple[str, Path]], *, compress: bool) -> Path:
    """Write the files of `entries` to `target` under their names, in this order. Any size, in bounded memory.

    Weights hardly compress, so archives of models are stored: `compress=False`.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name, source in entries:
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.create_system = _UNIX
            info.external_attr = _REGULAR_READABLE_FILE
            info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
            with source.open("rb") as reader, archive.open(info, "w", force_zip64=True) as writer:
                shutil.copyfileobj(reader, writer, _COPY_BYTES)
    return target
