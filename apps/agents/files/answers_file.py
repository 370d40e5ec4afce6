"""The file of what was seen when a candidate was judged: a zip with `answers.json`, a small picture for some of the
examples, and `layers.json`, the operators that the runtime ran.

Written by the child and read by the web process, so both sides need only Python's own library.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter

from apps.agents.contracts.reports.answers import Answers, RanOperator

ROLE, FILENAME = "answers", "answers.zip"
"""Of the file among those that a step makes."""
LARGEST_JSON_BYTES = 8 * 1024 * 1024
LARGEST_PICTURE_BYTES = 256 * 1024
PICTURE_TYPES = {"png": "image/png", "jpg": "image/jpeg"}
_JSON, _LAYERS, _PICTURES = "answers.json", "layers.json", "pictures"
_RAN: TypeAdapter[tuple[RanOperator, ...]] = TypeAdapter(tuple[RanOperator, ...])
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_answers(
    target: Path | IO[bytes], answers: Answers, pictures: Mapping[str, bytes], ran: Sequence[RanOperator] = ()
) -> None:
    """Writes the file to `target`. Its bytes depend only on what is written."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(_JSON, _EPOCH), answers.model_dump_json(), zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo(_LAYERS, _EPOCH), _RAN.dump_json(tuple(ran)), zipfile.ZIP_DEFLATED)
        for name, content in pictures.items():
            archive.writestr(zipfile.ZipInfo(f"{_PICTURES}/{name}", _EPOCH), content, zipfile.ZIP_STORED)


def read_answers(path: Path) -> Answers:
    """Raises `pydantic.ValidationError`, `ValueError`, and `zipfile.BadZipFile` for what `write_answers` did not
    write."""
    return Answers.model_validate_json(_read(path, _JSON, LARGEST_JSON_BYTES))


def read_ran(path: Path) -> tuple[RanOperator, ...]:
    """The operators that the candidate's runtime ran; empty if it does not tell. Raises as `read_answers` does."""
    return _RAN.validate_json(_read(path, _LAYERS, LARGEST_JSON_BYTES))


def read_picture(path: Path, name: str) -> bytes:
    """The bytes of one picture. Raises `KeyError` if there is none called `name`, and the errors of `read_answers`."""
    return _read(path, f"{_PICTURES}/{name}", LARGEST_PICTURE_BYTES)


def _read(path: Path, name: str, most_bytes: int) -> bytes:
    with zipfile.ZipFile(path) as archive:
        size_bytes = archive.getinfo(name).file_size
        if size_bytes > most_bytes:
            raise ValueError(f"{name} has {size_bytes:,} bytes, but at most {most_bytes:,} are read")
        return archive.read(name)
