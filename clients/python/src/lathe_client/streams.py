"""The output and the error stream. Neither decides how a command ends: its exit code does."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

NAMES = ("stdout", "stderr")


def prepare() -> None:
    """Lets both streams take every character, as a question mark if need be, and gives a closed one somewhere to go."""
    for name in NAMES:
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (open until the process ends)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def say(text: str, stream: TextIO | None = None, *, end: str = "\n") -> None:
    """Writes text at once. If nobody reads the stream any more, this and all that follows is dropped."""
    out = stream or sys.stdout
    try:
        out.write(text + end)
        out.flush()
    except BrokenPipeError:
        drop(out)


def say_utf8(text: str) -> None:
    """Writes a line to the output in UTF-8, whatever the encoding of the terminal: it is for programs."""
    sys.stdout.flush()
    try:
        sys.stdout.buffer.write(f"{text}\n".encode(errors="replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        drop(sys.stdout)


def complain(text: str) -> None:
    """Writes a line about the command to the error stream. It never fails: nothing is left to tell it to."""
    with suppress(OSError):
        say(f"lathe: {text}", sys.stderr)


def drop(stream: TextIO) -> None:
    """Sends what is written to the stream, and what waits to be, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def finish() -> None:
    """Drops what cannot be written any more: Python would end with an exit code of its own."""
    for name in NAMES:
        stream = getattr(sys, name)
        try:
            stream.flush()
        except OSError:
            drop(stream)
