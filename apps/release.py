"""Which code a process runs, so that web and workers of different releases can be told apart."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("apps", "platform/lathe")
LENGTH = 12


@cache
def code_digest() -> str:
    """A digest of Lathe's Python files, the same on every machine with the same code. Read once in a process."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:LENGTH]
