"""How a text table is written: its encoding, separator and header line, detected from its beginning."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import DatasetEmpty, DatasetUnreadable
from apps.agents.datasets.labels import MISSING
from apps.agents.files.sniffing import FileKind, sniff
from apps.agents.files.text_encoding import encoding_of

SAMPLE_CHARACTERS = 1_000_000
SAMPLE_ROWS = 200
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
COMMENT = "#"
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_HINT = re.compile(r"sep=(.)\s*", re.IGNORECASE)

Row = list[str]


@dataclass(frozen=True)
class CsvForm:
    """How the text is divided into cells, and the names of the columns."""

    encoding: str
    separator: str
    """A space means any white space."""
    width: int
    """Fields per row. The header line may have one more or fewer."""
    names: tuple[str, ...]
    """From the header line, or positions if there is none."""
    header_rows: int
    """Rows before the first example with the same width: 0 or 1."""
    first_row: int
    """Position of the first example among all lines that are not blank, from 1."""
    notes: tuple[str, ...]


def form_of(path: Path, spec: DatasetSpec) -> CsvForm:
    """The form of the table at `path`. Raises `DatasetUnreadable`, and `DatasetEmpty` if the file is empty."""
    kind = sniff(path)
    if kind not in (FileKind.CSV, FileKind.TEXT):
        raise DatasetUnreadable(kind="table", reason=f"its content is {kind}")
    encoding = encoding_of(path)
    lines = _first_lines(path, encoding)
    hint = _HINT.fullmatch(lines[0]) if lines else None
    comments = 0
    while comments < len(lines) - bool(hint) and lines[comments + bool(hint)].startswith(COMMENT):
        comments += 1
    skipped = comments + bool(hint)
    below = [line for line in lines[skipped:] if not line.startswith(COMMENT)]
    if not below:
        raise DatasetEmpty(reason="the table does not have a header line")
    separator = hint[1] if hint else _separator(below)
    rows = _rows(below, separator)
    above = _rows([lines[skipped - 1].lstrip(COMMENT)], separator) if comments else []
    names, from_rows = _names(rows, above[0] if above else [], spec)
    width = _width(rows[from_rows:] or [names])
    if not names:
        names = [str(place) for place in range(1, width + 1)]
    as_wide = int(from_rows and len(rows[0]) == width) + sum(len(row) == width for row in above)
    first_row = skipped + from_rows + 1
    return CsvForm(
        encoding,
        separator,
        width,
        tuple(name.strip() for name in names),
        min(1, as_wide),
        first_row,
        _notes(encoding, names=names, header=bool(from_rows or names == (above or [[]])[0]), comments=comments),
    )


def _notes(encoding: str, *, names: Sequence[str], header: bool, comments: int) -> tuple[str, ...]:
    notes = []
    if encoding in ("cp1252", "latin-1"):
        notes.append("The file is not in UTF-8: it was read as Windows-1252 (Latin-1), which affects only names.")
    elif not encoding.startswith("utf-8"):
        notes.append(f"Read as {encoding[:6].upper()}.")
    if not header:
        notes.append(f"The file has no header line: its columns are numbered 1 to {len(names)}.")
    if comments:
        notes.append(f"Lines that begin with {COMMENT} were skipped as comments.")
    return tuple(notes)


def _first_lines(path: Path, encoding: str) -> list[str]:
    """The first lines that are not blank, with their line ends."""
    with path.open(encoding=encoding, newline="") as file:
        try:
            text = file.read(SAMPLE_CHARACTERS)
        except UnicodeDecodeError as error:
            raise DatasetUnreadable(kind="table", reason=str(error)) from error
        whole = not file.read(1)
    lines = io.StringIO(text, newline=None).read().splitlines(keepends=True)
    return [line for line in (lines if whole or len(lines) < 2 else lines[:-1]) if line.strip()]


def _rows(lines: Sequence[str], separator: str) -> list[Row]:
    csv.field_size_limit(min(sys.maxsize, 1024 * 1024))
    text = [re.sub(r"[ \t]+", " ", line.strip()) for line in lines] if separator == " " else lines
    rows = []
    try:
        for row in csv.reader(text, delimiter=separator):
            if row:
                rows.append(row)
            if len(rows) > SAMPLE_ROWS:
                break
    except csv.Error as error:
        raise DatasetUnreadable(kind="table", reason=str(error)) from error
    return rows


def _width(rows: Sequence[Row]) -> int:
    return Counter(map(len, rows)).most_common(1)[0][0]


def _separator(lines: Sequence[str]) -> str:
    """The separator that divides nearly all lines into the same number of fields, most of which are numbers."""
    likely = max(SEPARATORS, key=lambda separator: _likeness(_rows(lines[: SAMPLE_ROWS * 2], separator)))
    return likely if _likeness(_rows(lines, likely))[0] else ","


def _likeness(rows: Sequence[Row]) -> tuple[bool, float, float, int]:
    below = rows[1:] or rows
    width = _width(below)
    even = sum(len(row) == width for row in below) / len(below)
    cells = [cell.strip() for row in below for cell in row]
    numbers = sum(_is_number(cell) or cell.lower() in MISSING for cell in cells) / max(1, len(cells))
    return width > 1 and even > 0.5, round(even, 1), round(numbers, 2), width


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.strip()) is not None


def _names(rows: Sequence[Row], above: Row, spec: DatasetSpec) -> tuple[Row, int]:
    """The names of the columns (empty if no line has them), and how many of `rows` they occupy.

    A line of data has numbers. A header has none, unless it only numbers the columns or contains the label's name.
    """
    first = [cell.strip() for cell in rows[0]]
    if spec.named & set(first) or not any(map(_is_number, first)) or _counts(first):
        return first, 1
    if len(above) in (len(first), len(first) - 1) and not any(map(_is_number, above)):
        return above, 0
    return [], 0


def _counts(cells: Sequence[str]) -> bool:
    """Whether they are 0, 1, 2 … or 1, 2, 3 …, possibly after an index without a name."""
    named = cells[1:] if cells and not cells[0] else cells
    return any(list(named) == [str(start + place) for place in range(len(named))] for start in (0, 1))
