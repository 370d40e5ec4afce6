"""A text table as typed columns. Every cell is first read as text, because all cells determine a column's type."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import DatasetEmpty, DatasetUnreadable
from apps.agents.datasets.csv_form import COMMENT, SEPARATORS, CsvForm, form_of
from apps.agents.datasets.csv_numbers import Array, cells_of, numbers_of
from apps.agents.datasets.index_columns import INDEX_LEFT_OUT, is_index

BLOCK_BYTES = 16 * 1024 * 1024
"""Maximum length of a row."""

BLANK = " \t\x1a"
"""Characters that a line without cells may contain. Old systems end a file with a control character."""

Columns = dict[str, pa.ChunkedArray]


@dataclass
class _Uneven:
    """Rows with another width, by their position among all lines that are not blank, from 1."""

    form: CsvForm
    comments: int = 0
    """Comment lines among the examples."""
    first: tuple[int, int] | None = None
    seen: list[int] = field(default_factory=list)

    def __call__(self, row: csv.InvalidRow) -> str:
        if row.text.startswith(COMMENT) or not row.text.strip(BLANK):
            self.comments += row.number >= self.form.first_row
        elif row.number >= self.form.first_row and self.first is None:
            self.first = (row.number - self.form.first_row + 1 - self.comments, row.actual_columns)
        return "skip"


def read_csv(path: Path, spec: DatasetSpec) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The columns of the table at `path` by name, and how it was read, in sentences.

    Raises `DatasetUnreadable` with the wrong row, column or name, `DatasetEmpty`, `CellInvalid`, `NumberAmbiguous`.
    `NumberAmbiguous`.
    """
    form = form_of(path, spec)
    table = _without_header(_cells(path, form), form)
    columns, notes = _named(_without_empty_end(table), form, spec)
    found, styles = numbers_of({name: cells_of(name, column) for name, column in columns.items()})
    return found, (*_how(form, styles), *form.notes, *notes)


def _how(form: CsvForm, styles: tuple[str, ...]) -> tuple[str, ...]:
    separator = () if form.separator == "," else (SEPARATORS.get(form.separator, repr(form.separator)),)
    parts = [*separator, *styles]
    if not parts:
        return ()
    return (f"Read with {', '.join(parts[:-1])}{' and ' if parts[1:] else ''}{parts[-1]}.",)


def _cells(path: Path, form: CsvForm) -> pa.Table:
    names = [str(place) for place in range(form.width)]
    uneven = _Uneven(form)
    spaced = form.separator == " "
    try:
        table = csv.read_csv(
            _with_single_tabs(path, form.encoding) if spaced else path,
            csv.ReadOptions(
                column_names=names,
                encoding="utf8" if spaced or form.encoding.startswith("utf-8") else form.encoding,
                block_size=BLOCK_BYTES,
                use_threads=False,  # with threads, rows are not numbered
            ),
            csv.ParseOptions(
                delimiter="\t" if spaced else form.separator, newlines_in_values=True, invalid_row_handler=uneven
            ),
            csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise DatasetUnreadable(kind="table", reason=str(error).splitlines()[0]) from error
    if uneven.first:
        _refuse_uneven(form, *uneven.first)
    return table


def _refuse_uneven(form: CsvForm, row: int, fields: int) -> None:
    reason = f"row {row} has {fields} fields, but there are {form.width} columns"
    if form.separator == "," and fields > form.width:
        reason += (
            " (if a field contains a comma, such as a decimal comma, quote it or separate the columns with semicolons)"
        )
    raise DatasetUnreadable(kind="table", reason=reason, field="file")


def _with_single_tabs(path: Path, encoding: str) -> io.BytesIO:
    """The file with any white space between columns replaced by one tab."""
    lines = path.read_text(encoding=encoding).splitlines()
    return io.BytesIO("\n".join(re.sub(r"[ \t]+", "\t", line.strip()) for line in lines).encode())


def _without_header(table: pa.Table, form: CsvForm) -> pa.Table:
    first: Any = table.column(0)
    if form.header_rows and not (table.num_rows and first[0].as_py().startswith(COMMENT)):
        table = table.slice(1)
        first = table.column(0)
    comments = pc.starts_with(first, COMMENT)
    if pc.any(comments).as_py():
        table = table.filter(pc.invert(comments))
    return table


def _without_empty_end(table: pa.Table) -> pa.Table:
    """The table without trailing rows that contain only separators, as spreadsheets save them."""
    rows = table.num_rows
    while rows and not any(column[rows - 1].as_py().strip() for column in table.columns):
        rows -= 1
    if not rows:
        raise DatasetEmpty(reason="the table does not have a row below its header line")
    return table.slice(0, rows)


def _named(table: pa.Table, form: CsvForm, spec: DatasetSpec) -> tuple[Columns, tuple[str, ...]]:
    """Columns by name, without a column that only numbers the rows and one that a trailing separator creates."""
    columns, names, notes = list(table.columns), list(form.names), []
    if len(columns) > 1 and _is_blank(columns[-1]) and names[len(columns) - 1 :] in ([], [""]):
        columns, names = columns[:-1], names[: len(columns) - 1]
        notes.append("Rows end with a separator: the empty column after it is left out.")
    if len(names) == len(columns) - 1:
        names = ["", *names]
    if len(names) != len(columns):
        reason = f"the first line names {len(names)} columns, but the rows have {len(columns)}"
        raise DatasetUnreadable(kind="table", reason=reason, field="file")
    if is_index(names[0], columns[0]) and len(names) > 1 and not _is_asked_for(names[0], spec):
        notes.append(INDEX_LEFT_OUT.format(name=repr(names[0]) if names[0] else "without a name"))
        columns, names = columns[1:], names[1:]
    _refuse_names(names, first=form.width - len(names) + 1)
    return dict(zip(names, columns, strict=True)), tuple(notes)


def _is_blank(column: pa.ChunkedArray) -> bool:
    return not pc.any(pc.not_equal(pc.utf8_trim_whitespace(column), "")).as_py()


def _is_asked_for(name: str, spec: DatasetSpec) -> bool:
    return name in spec.named


def _refuse_names(names: list[str], first: int) -> None:
    for place, name in enumerate(names):
        if not name:
            reason = f"column {place + first} has no name: the first line must name every column"
            raise DatasetUnreadable(kind="table", reason=reason, field="file")
        if name in names[:place]:
            reason = f"two columns are called {name!r}: the first line must give every column a different name"
            raise DatasetUnreadable(kind="table", reason=reason, field="file")
