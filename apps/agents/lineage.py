"""Which format an artifact has, from the techniques that led to it."""

from __future__ import annotations

from collections.abc import Iterable

from apps.agents.techniques import catalogue


def format_after(original_format: str, techniques: Iterable[str]) -> str:
    """The format of what these techniques make of a model in `original_format`, one after the other.

    One that is no longer installed is taken to keep the format.
    """
    known = catalogue()
    made = original_format
    for technique in techniques:
        spec = known.get(technique)
        made = made if spec is None else spec.makes(made)
    return made
