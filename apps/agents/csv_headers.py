"""The columns and the number of rows of a CSV, read line by line. Light."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.agents.errors import DatasetEmpty, DatasetUnreadable
from apps.agents.sniffing import FileKind, sniff

TYPED_ROWS = 1000
"""Rows of a table that the column types are guessed from here; the worker reads all of them."""


@dataclass(frozen=True)
class TableHeader:
    """Columns with their types, and the number of rows."""

    columns: dict[str, str]
    rows: int


def table_header(path: Path) -> TableHeader:
    """The first line of a CSV with the number of its rows, and column types from the first thousand."""
    kind = sniff(path)
    if kind not in (FileKind.CSV, FileKind.TEXT):
        raise DatasetUnreadable(kind="table", reason=f"by its content this is {kind}")
    csv.field_size_limit(min(sys.maxsize, 1024 * 1024))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, dialect_of(path))
            names = next(rows, [])
            _refuse_names(names)
            return _typed(names, rows)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetUnreadable(kind="table", reason=str(error)) from error


def dialect_of(path: Path) -> type[csv.Dialect]:
    """Excel's quoting with the separator that the first line has most of: comma, semicolon or tabulator."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(1024 * 1024)

    class Separated(csv.excel):
        delimiter = max(",;\t", key=first.count)

    return Separated


def _refuse_names(names: Sequence[str]) -> None:
    if not names:
        raise DatasetEmpty(reason="the table has no header line")
    if len(set(names)) != len(names) or not all(names):
        raise DatasetUnreadable(kind="table", reason="the first line must name every column, each differently")


def _typed(names: Sequence[str], rows: Iterator[list[str]]) -> TableHeader:
    types = dict.fromkeys(names, "int64")
    count = 0
    for row in rows:
        if not row:
            continue
        count += 1
        if len(row) != len(names):
            reason = f"row {count} has {len(row)} fields, and the first line names {len(names)} columns"
            raise DatasetUnreadable(kind="table", reason=reason)
        if count <= TYPED_ROWS:
            for name, cell in zip(names, row, strict=True):
                types[name] = _wider(types[name], cell)
    return TableHeader(types, count)


def _wider(dtype: str, cell: str) -> str:
    """The narrowest of int64, float64 and string that holds what was seen and `cell`."""
    if dtype == "int64":
        try:
            int(cell)
        except ValueError:
            return _wider("float64", cell)
    elif dtype == "float64":
        try:
            float(cell)
        except ValueError:
            return "string"
    return dtype
