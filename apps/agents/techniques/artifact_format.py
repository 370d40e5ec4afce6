"""Which format an artifact has, from the techniques that led to it, and what runs it."""

from __future__ import annotations

from collections.abc import Iterable

from apps.agents.contracts.formats import FORMATS, Format
from apps.agents.techniques.catalogue import catalogue


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


def runtime_of(model_format: str) -> str:
    """What runs a model in this format, by its name; the format's own where it is not known here."""
    known = FORMATS.get(Format(model_format)) if model_format in set(Format) else None
    return known.runtime if known else model_format
