"""Uploads that continue where they stopped: after a lost connection, and after the command itself was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Callable

import httpx

from lathe_client.client import TRIES, Lathe, pause_after
from lathe_client.errors import LatheError, Problem

CHUNK_BYTES = 8 * 1024 * 1024
GONE = (404, 410)
Tell = Callable[[int, int], None]
"""Is told the bytes that are stored, and those of the whole file."""


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(1024 * 1024), b""):
            digest.update(piece)
    return digest.hexdigest()


def upload(
    lathe: Lathe,
    path: Path,
    *,
    team: str | None = None,
    tell: Tell = lambda done, size: None,
    state: Path | None = None,
) -> str:
    """Sends the file in chunks and returns the id of the finished upload.

    `state` is a file that remembers unfinished uploads, so that a later call continues them. A chunk is stored
    completely or not at all; after a lost connection the portal is asked where to go on.
    """
    size = path.stat().st_size
    memory = _Memory(state or _state_file())
    key = f"{lathe.url} {digest_of(path)} {team or ''}"
    begun = _known(lathe, memory.get(key))
    if begun is None:
        body = {"filename": path.name, "size_bytes": size, "team": team}
        begun = (str(lathe.post("uploads/", body)["id"]), 0)
    identity, offset = begun
    memory.put(key, identity)
    with path.open("rb") as file:
        tell(offset, size)
        while offset < size:
            file.seek(offset)
            offset = _sent(lathe, identity, offset, file.read(CHUNK_BYTES))
            tell(offset, size)
    memory.put(key, None)
    return identity


def _known(lathe: Lathe, identity: str | None) -> tuple[str, int] | None:
    """An upload that was begun before, with its offset; `None` if the portal has it no longer."""
    if identity is None:
        return None
    try:
        return identity, int(lathe.get(f"uploads/{identity}/")["received_bytes"])
    except Problem as problem:
        if problem.status in GONE:
            return None
        raise


def _sent(lathe: Lathe, identity: str, offset: int, chunk: bytes) -> int:
    """The offset after this chunk. If the connection is lost, that of the portal: it may have stored it or not."""
    headers = {"Content-Type": "application/octet-stream", "Upload-Offset": str(offset)}
    for attempt in range(1, TRIES + 1):
        try:
            answer = lathe.request("PATCH", f"uploads/{identity}/", content=chunk, headers=headers)
            return int(answer.json()["received_bytes"])
        except Problem as problem:
            if problem.code != "upload.offset_mismatch":
                raise
        except LatheError as error:
            if attempt == TRIES or not isinstance(error.__cause__, httpx.TransportError):
                raise
            pause_after(attempt)
        stored = int(lathe.get(f"uploads/{identity}/")["received_bytes"])
        if stored != offset:
            return stored
    raise LatheError(f"The upload {identity} does not move on from byte {offset}.")


def _state_file() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "lathe" / "uploads.json"


class _Memory:
    """Unfinished uploads by portal, file and team. Losing it costs a repeated upload, nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str) -> str | None:
        return self._read().get(key)

    def put(self, key: str, identity: str | None) -> None:
        kept = {name: value for name, value in self._read().items() if name != key}
        if identity is not None:
            kept[key] = identity
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(kept))

    def _read(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            known = json.loads(self._path.read_text())
            return dict(known) if isinstance(known, dict) else {}
        return {}
