"""Text from children, libraries and members, in a form that every database can store."""

from __future__ import annotations


def keepable(text: str) -> str:
    """`text` without NUL, which PostgreSQL cannot store. A child can print anything."""
    return text.replace("\x00", "�")
