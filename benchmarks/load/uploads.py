"""(e) Large uploads: how fast beside copying and hashing the same file, and in how much memory."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.installation import Place
from benchmarks.load.form import Form
from benchmarks.load.report import Found, Table
from benchmarks.people import member, token_of
from benchmarks.truth.rows import Row
from benchmarks.uploading import Door, by_chunks, by_form, bytes_of
from lathe.testing.data_sets import table_of_size

SHARE, MEMORY_BYTES = 0.8, 50 * 10**6
Send = Callable[[Door, int], object]


def found(form: Form, place: Place) -> Found:
    user, _ = member("sender")
    token = token_of(user)
    sent = [(size, "in chunks", by_chunks) for size in form.uploads]
    sent.append((form.uploads[0], "as a form", by_form))
    rows: list[Row] = []
    lines = []
    for size, manner, send in sent:
        upload = Upload(place, token, size, send)
        rows += upload.rows(f"{size} {manner}")
        lines.append((size, manner, *upload.figures()))
    how = (
        "The file is made while it is sent, over this machine's own network. It is held against `cp` and `sha256sum` "
        "of the same bytes in the store's folder, once before and once after. Each upload has a new web server, whose "
        "memory is its peak above what it had after a few pages."
    )
    head = ("size", "way", "upload MB/s", "cp + sha256sum MB/s", "share", "peak memory above, MB")
    return Found("Large uploads", how, tuple(rows), (Table(head, tuple(lines)),))


class Upload:
    """One file, sent once."""

    def __init__(self, place: Place, token: str, size: str, send: Send) -> None:
        self.size_bytes = bytes_of(size)
        before_s = copied_and_hashed_s(place.folder, self.size_bytes)
        with place.web() as web:
            door = Door(urlsplit(web.url).port or 0, web.pid, token)
            for path in ("me", "datasets", "models"):
                door.request("GET", f"/api/v1/{path}/")
            known_bytes, begun = door.peak_bytes(), time.monotonic()
            dataset = send(door, self.size_bytes)
            self.took_s = time.monotonic() - begun
            self.memory_bytes = door.peak_bytes() - known_bytes
            door.request("DELETE", f"/api/v1/datasets/{dataset}/")
        self.copied_s = statistics.mean((before_s, copied_and_hashed_s(place.folder, self.size_bytes)))

    @property
    def share(self) -> float:
        return self.copied_s / self.took_s

    def rows(self, what: str) -> Iterator[Row]:
        memory_mb = self.memory_bytes / 1e6
        yield Row(f"{what}: of the speed of cp + sha256sum", f"≥ {SHARE}", f"{self.share:.2f}", self.share >= SHARE)
        enough = self.memory_bytes <= MEMORY_BYTES
        yield Row(f"{what}: memory of the web server", f"≤ {MEMORY_BYTES / 1e6:.0f} MB", f"{memory_mb:.0f} MB", enough)

    def figures(self) -> tuple[str, ...]:
        rates = (f"{self.size_bytes / seconds / 1e6:.0f}" for seconds in (self.took_s, self.copied_s))
        return (*rates, f"{self.share:.2f}", f"{self.memory_bytes / 1e6:.0f}")


def copied_and_hashed_s(folder: Path, size_bytes: int) -> float:
    """How long `cp` and then `sha256sum` take for a file of these bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as here:
        source, copy = Path(here) / "source", Path(here) / "copy"
        with source.open("wb") as file:
            file.writelines(table_of_size(size_bytes))
        begun = time.monotonic()
        subprocess.run(["/bin/cp", source, copy], check=True)
        subprocess.run(["/usr/bin/sha256sum", copy], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begun
