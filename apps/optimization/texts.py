"""Text from children, libraries and members, in a form that every database keeps."""

from __future__ import annotations


def keepable(text: str) -> str:
    """`text` without NUL, which PostgreSQL cannot keep; a child may print anything."""
    return text.replace("\x00", "�")
