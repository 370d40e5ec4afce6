"""The key that signs sessions and links, if LATHE_SECRET_KEY is not set."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

LENGTH_BYTES = 64


def kept_in(folder: Path) -> str:
    """The key in `folder / "secret_key"`, created on first use. Only this user can read the file."""
    path = folder / "secret_key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_once(path, secrets.token_urlsafe(LENGTH_BYTES))
    return path.read_text().strip()


def _write_once(path: Path, key: str) -> None:
    """Writes the key atomically, so that processes that start together all use the first one's key."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
    with contextlib.suppress(FileExistsError):  # another process was first; its key is used
        os.link(draft, path)
    draft.unlink()
