"""Folders of models as the zips that a member uploads."""

from __future__ import annotations

from pathlib import Path

from apps.agents.files.reproducible_zip import write_zip


def zipped(folder: Path) -> Path:
    """The files of `folder`, by their paths in it, as a zip beside it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = [(path.relative_to(folder).as_posix(), path) for path in files]
    return write_zip(folder.with_name(f"{folder.name}.zip"), entries, compress=False)
