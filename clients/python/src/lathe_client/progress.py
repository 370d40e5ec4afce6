"""Progress on the error stream: a line that changes in a terminal, and a line for each change in a log."""

from __future__ import annotations

import sys
from typing import TextIO

from lathe_client.client import Json
from lathe_client.streams import say


class Progress:
    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._last = ""
        self._phase = ""

    def bytes(self, done: int, size: int) -> None:
        """Of an upload or a download."""
        share = f"{done / size:.0%}" if size else f"{done:,} bytes"
        self._tell(f"{share} of {size / 1e6:,.1f} MB", "sending" if done < size else "sent")

    def session(self, row: Json) -> None:
        """Of a session that somebody waits for."""
        left = f", about {row['eta_s'] / 60:.0f} min of work left" if row.get("eta_s") and row["eta_s"] >= 60 else ""
        waiting = f", waiting: {row['waiting']['sentence']}" if row.get("waiting") else ""
        self._tell(f"{row['phase']} {row['progress']:.0%}{left}{waiting}", f"{row['status']}, {row['phase']}")

    def end(self) -> None:
        """Leaves the line."""
        if self._last and self._stream.isatty() and not self._quiet:
            say("", self._stream)
        self._last = ""

    def _tell(self, line: str, phase: str) -> None:
        if self._quiet or line == self._last:
            return
        if self._stream.isatty():
            say(f"\r\x1b[K{line}", self._stream, end="")
        elif phase != self._phase:
            say(phase, self._stream)
        self._last, self._phase = line, phase
