"""Detects the encoding of a text from its bytes. The inspection of an upload uses it too."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK_BYTES = 1024 * 1024
_CONTROL = frozenset(range(0x20)) - frozenset(b"\t\n\r\x0c\x1a") | {0x7F}
WESTERN = "cp1252"


def marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte-order mark, or zero bytes between plain characters, reveal."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    even, odd = head[0::2], head[1::2]
    if len(head) >= 8 and not any(odd) and not _CONTROL & set(even):
        return "utf-16-le"
    if len(head) >= 8 and not any(even) and not _CONTROL & set(odd):
        return "utf-16-be"
    return None


def is_western(head: bytes) -> bool:
    """Whether `head` could be text in a single-byte encoding: no control characters, mostly ASCII."""
    if not head or _CONTROL & set(head):
        return False
    return sum(byte < 0x80 for byte in head) > 0.7 * len(head)


def encoding_of(path: Path) -> str:
    """The encoding of the text at `path`: by its mark, else UTF-8 if valid, else Windows-1252 or Latin-1."""
    with path.open("rb") as file:
        marked = marked_encoding(file.read(4096))
    if marked:
        return marked
    return next((name for name in ("utf-8", WESTERN) if _decodes(path, name)), "latin-1")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
