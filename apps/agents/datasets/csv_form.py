"""How a table in text is written: its encoding, its separator, its header line, by a look at its beginning."""

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
    """How the text is cut into cells, and what the columns are called."""

    encoding: str
    separator: str
    """A space stands for any white space."""
    width: int
    """Fields of a row, which the header line may miss by one."""
    names: tuple[str, ...]
    """As the header line has them; by their place where there is none."""
    header_rows: int
    """Rows before the first example that are as wide as it: 0 or 1."""
    first_row: int
    """Of the examples, among all lines that are not blank, from 1."""
    notes: tuple[str, ...]


def form_of(path: Path, spec: DatasetSpec) -> CsvForm:
    """The form of the table at `path`. Raises `DatasetUnreadable`, and `DatasetEmpty` where there is nothing."""
    kind = sniff(path)
    if kind not in (FileKind.CSV, FileKind.TEXT):
        raise DatasetUnreadable(kind="table", reason=f"by its content this is {kind}")
    encoding = encoding_of(path)
    lines = _first_lines(path, encoding)
    hint = _HINT.fullmatch(lines[0]) if lines else None
    comments = 0
    while comments < len(lines) - bool(hint) and lines[comments + bool(hint)].startswith(COMMENT):
        comments += 1
    skipped = comments + bool(hint)
    below = [line for line in lines[skipped:] if not line.startswith(COMMENT)]
    if not below:
        raise DatasetEmpty(reason="the table has no header line")
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
        notes.append("The file is not in UTF-8: read as Windows-1252 (Latin-1), which shows in names only.")
    elif not encoding.startswith("utf-8"):
        notes.append(f"Read as {encoding[:6].upper()}.")
    if not header:
        notes.append(f"The file has no header line: its columns are called 1 to {len(names)}, by their place.")
    if comments:
        notes.append(f"Lines that begin with {COMMENT} are taken for comments.")
    return tuple(notes)


def _first_lines(path: Path, encoding: str) -> list[str]:
    """Those of the beginning that are not blank, with their ends."""
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
    """The one that cuts nearly all lines into as many fields, most of which are numbers."""
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
    """The names of the columns, none where no line has them, and how many of `rows` they stand in.

    A line of data has numbers; a header has none, but for one that only counts the columns, or names the label.
    """
    first = [cell.strip() for cell in rows[0]]
    wanted = {spec.label, spec.group, *(column for columns in spec.columns.values() for column in columns)}
    if wanted & set(first) or not any(map(_is_number, first)) or _counts(first):
        return first, 1
    if len(above) in (len(first), len(first) - 1) and not any(map(_is_number, above)):
        return above, 0
    return [], 0


def _counts(cells: Sequence[str]) -> bool:
    """Whether they are 0, 1, 2 … or 1, 2, 3 …, behind an index without a name perhaps."""
    named = cells[1:] if cells and not cells[0] else cells
    return any(list(named) == [str(start + place) for place in range(len(named))] for start in (0, 1))
