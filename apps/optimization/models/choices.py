"""Converts a string enumeration of the agents to choices of a field."""

from __future__ import annotations

from enum import StrEnum


def choices_of(kind: type[StrEnum]) -> list[tuple[str, str]]:
    """Each member with a readable label."""
    return [(member.value, member.value.replace("_", " ").capitalize()) for member in kind]
