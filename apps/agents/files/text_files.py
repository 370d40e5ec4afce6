"""Files of texts: plain text with documents separated by blank lines, or one JSON object per line. Not tokenized yet.

Every line is checked. An error names its line by number, counted from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from apps.agents.contracts.dataset_spec import MINIMUM_EXAMPLES, DatasetSpec
from apps.agents.contracts.errors.texts import TextEncodingBroken, TextsUnlabelled
from apps.agents.files.class_numbers import alphabetical_note
from apps.agents.files.text_lines import Example, JsonLines, example_line

PIECES = 100
"""If there are fewer documents than a data set needs, they are cut into this many pieces, if long enough."""
SHORTEST_PIECE = 200
"""Minimum length of a piece, in characters."""
MANY_CHARACTERS = 2_000_000
"""Above this there is a warning: a small language model reads half a million tokens in a quarter of an hour on one
core, and every candidate does."""
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class TextFile:
    """`fields` contain the texts: one field, two of a pair, or `context` and `choices`."""

    fields: tuple[str, ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    """Names by class number, if the labels are names or the member named them."""

    @property
    def characters(self) -> int:
        return sum(len(text) for example in self.examples for text in example.texts)


def read_texts(path: Path, spec: DatasetSpec) -> TextFile:
    """Read the texts at `path` for the spec's task. Raises the `Text…` errors and `AnswerOutOfRange`.

    If the task needs no labels, too few documents are cut into pieces.
    """
    lines = list(_lines(path))
    if _is_json(lines):
        reader = JsonLines(spec)
        found = TextFile(*reader.read(lines), classes=reader.classes, notes=_label_notes(reader, spec))
    elif spec.needs_labels:
        raise TextsUnlabelled(task=spec.task, example=example_line(spec), field="task")
    else:
        found = _plain(lines, spec)
    return _warned(found if spec.needs_labels else _in_pieces(found))


def _label_notes(reader: JsonLines, spec: DatasetSpec) -> tuple[str, ...]:
    return () if reader.classes == spec.classes else (alphabetical_note(reader.classes),)


def _lines(path: Path) -> Iterator[str]:
    """Lines without their ends. A byte order mark at the beginning is not part of the text."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                reason = f"byte {error.start + 1} of it is 0x{raw[error.start]:02x}"
                raise TextEncodingBroken(line=number, reason=reason, field="file") from error
            yield line.rstrip("\r\n")


def _is_json(lines: Sequence[str]) -> bool:
    """Whether the first line that is not blank begins an object. `{{` is not JSON, but common in markup."""
    first = next((line.lstrip() for line in lines if line.strip()), "")
    return first.startswith("{") and not first.startswith("{{")


# --- plain text -------------------------------------------------------------------------------------------------------


def _plain(lines: Sequence[str], spec: DatasetSpec) -> TextFile:
    separator = spec.reading.separator
    text = "\n".join(lines)
    parts = text.split(separator) if separator else _BLANK_LINES.split(text)
    documents = (part.strip() for part in parts)
    return TextFile((spec.reading.text,), tuple(Example((document,)) for document in documents if document))


def _in_pieces(found: TextFile) -> TextFile:
    """The same texts as more examples, if there are too few documents."""
    documents = [example.texts[0] for example in found.examples]
    if not documents or len(documents) >= MINIMUM_EXAMPLES:
        return found
    size = max(SHORTEST_PIECE, sum(map(len, documents)) // PIECES)
    pieces = [piece for document in documents for piece in _pieces(document, size)]
    note = (
        f"There are too few documents, so they are cut into {len(pieces)} pieces of about {size:,} characters, which "
        "count as examples. Intervals then describe the variation within these texts, not between texts."
    )
    return replace(found, examples=tuple(Example((piece,)) for piece in pieces), notes=(*found.notes, note))


def _warned(found: TextFile) -> TextFile:
    if found.characters <= MANY_CHARACTERS:
        return found
    note = (
        f"The texts have {found.characters:,} characters, and every candidate reads all of them except the part for "
        "calibration. A sample of them gives narrow enough intervals in a fraction of the time."
    )
    return replace(found, notes=(*found.notes, note))


def _pieces(document: str, size: int) -> Iterator[str]:
    """Cut at the first white space after every `size` characters."""
    start = 0
    while start < len(document):
        space = _SPACE.search(document, start + size)
        end = space.start() if space else len(document)
        if piece := document[start:end].strip():
            yield piece
        start = end if end > start else end + 1
