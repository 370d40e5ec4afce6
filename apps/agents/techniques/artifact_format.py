"""The format of an artifact, from the techniques that led to it, and the runtime of a format."""

from __future__ import annotations

from collections.abc import Iterable

from apps.agents.contracts.formats import FORMATS, Format
from apps.agents.techniques.catalogue import catalogue


def format_after(original_format: str, techniques: Iterable[str]) -> str:
    """The format after these techniques are applied in order to a model in `original_format`.

    A technique that is no longer installed is assumed to keep the format.
    """
    known = catalogue()
    made = original_format
    for technique in techniques:
        spec = known.get(technique)
        made = made if spec is None else spec.makes(made)
    return made


def runtime_of(model_format: str) -> str:
    """The name of the runtime for this format, or the format's name if it is not known here."""
    known = FORMATS.get(Format(model_format)) if model_format in set(Format) else None
    return known.runtime if known else model_format
