"""Files of texts: plain text with a document between blank lines, or one JSON object a line. Light, and no tokens yet.

Every line is looked at. What is wrong with one is said with its number, as an editor counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from apps.agents.contracts.dataset_spec import MINIMUM_EXAMPLES, DatasetSpec
from apps.agents.contracts.errors.texts import TextEncodingBroken, TextsUnlabelled
from apps.agents.files.class_numbers import told_in_order
from apps.agents.files.text_lines import Example, JsonLines, example_line

PIECES = 100
"""What fewer documents than a data set needs are cut into, where they are long enough."""
SHORTEST_PIECE = 200
"""Characters."""
MANY_CHARACTERS = 2_000_000
"""A small language model reads half a million tokens in a quarter of an hour on one core; every candidate does."""
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class TextFile:
    """`fields` are those that texts stand in: one, two of a pair, or `context` and `choices`."""

    fields: tuple[str, ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    """Names by class number, where the labels are names or the member named them."""

    @property
    def characters(self) -> int:
        return sum(len(text) for example in self.examples for text in example.texts)


def read_texts(path: Path, spec: DatasetSpec) -> TextFile:
    """The texts at `path` as the spec's task reads them. Raises the `Text…` errors and `AnswerOutOfRange`.

    Where the task needs no labels, fewer documents than a data set needs are cut into pieces.
    """
    lines = list(_lines(path))
    if _is_json(lines):
        reader = JsonLines(spec)
        found = TextFile(*reader.read(lines), classes=reader.classes, notes=_labels_told(reader, spec))
    elif spec.needs_labels:
        raise TextsUnlabelled(task=spec.task, example=example_line(spec), field="task")
    else:
        found = _plain(lines, spec)
    return _warned(found if spec.needs_labels else _in_pieces(found))


def _labels_told(reader: JsonLines, spec: DatasetSpec) -> tuple[str, ...]:
    return () if reader.classes == spec.classes else (told_in_order(reader.classes),)


def _lines(path: Path) -> Iterator[str]:
    """Without their ends. A byte order mark at the very beginning is none of the text."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                reason = f"byte {error.start + 1} of it is 0x{raw[error.start]:02x}"
                raise TextEncodingBroken(line=number, reason=reason, field="file") from error
            yield line.rstrip("\r\n")


def _is_json(lines: Sequence[str]) -> bool:
    """Whether the first line that is not blank begins an object. Two braces are no JSON, but common in markup."""
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
    """The same texts as more examples, where there are too few documents."""
    documents = [example.texts[0] for example in found.examples]
    if not documents or len(documents) >= MINIMUM_EXAMPLES:
        return found
    size = max(SHORTEST_PIECE, sum(map(len, documents)) // PIECES)
    pieces = [piece for document in documents for piece in _pieces(document, size)]
    note = (
        f"There are too few documents, so they are cut into {len(pieces)} pieces of about {size:,} characters, which "
        "count as examples: intervals say how these texts vary, not how others would."
    )
    return replace(found, examples=tuple(Example((piece,)) for piece in pieces), notes=(*found.notes, note))


def _warned(found: TextFile) -> TextFile:
    if found.characters <= MANY_CHARACTERS:
        return found
    note = (
        f"The texts have {found.characters:,} characters, and every candidate reads all but the part for calibration. "
        "A sample of them gives intervals that are narrow enough in a fraction of the time."
    )
    return replace(found, notes=(*found.notes, note))


def _pieces(document: str, size: int) -> Iterator[str]:
    """Cut at the first white space at or behind every `size` characters."""
    start = 0
    while start < len(document):
        space = _SPACE.search(document, start + size)
        end = space.start() if space else len(document)
        if piece := document[start:end].strip():
            yield piece
        start = end if end > start else end + 1
