"""The form of a CSV, read line by line: a header that names every column, and rows that are as long. Light."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.agents.errors import DatasetEmpty, DatasetUnreadable
from apps.agents.sniffing import FileKind, sniff


@dataclass(frozen=True)
class TableHeader:
    """Columns with their types, and the number of rows."""

    columns: dict[str, str]
    rows: int


def check_table(path: Path) -> None:
    """Read the CSV at `path` through. Raises `DatasetUnreadable` with the first row or name that is wrong.

    The library that reads the values would say it in its own words, or take the file for something else. A table
    without rows is `DatasetEmpty`.
    """
    kind = sniff(path)
    if kind not in (FileKind.CSV, FileKind.TEXT):
        raise DatasetUnreadable(kind="table", reason=f"by its content this is {kind}")
    csv.field_size_limit(min(sys.maxsize, 1024 * 1024))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, dialect_of(path))
            names = next(rows, [])
            _refuse_names(names)
            _refuse_uneven(names, rows)
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


def _refuse_uneven(names: Sequence[str], rows: Iterator[list[str]]) -> None:
    count = 0
    for row in filter(None, rows):
        count += 1
        if len(row) != len(names):
            reason = f"row {count} has {len(row)} fields, and the first line names {len(names)} columns"
            raise DatasetUnreadable(kind="table", reason=reason)
    if not count:
        raise DatasetEmpty(reason="the table has no row below its header line")
