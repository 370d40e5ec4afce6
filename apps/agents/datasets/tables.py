"""Tables: CSV and Parquet, read column by column into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

from apps.agents.csv_headers import TableHeader, check_table, dialect_of
from apps.agents.dataset_headers import summarize_table
from apps.agents.dataset_spec import DatasetSpec
from apps.agents.errors import CellInvalid, DatasetUnreadable
from apps.agents.reports import DatasetSummary
from apps.agents.sniffing import FileKind, sniff

Array = NDArray[np.generic]


class TableSource:
    """A table as rows by input name: groups of columns, or every column on its own."""

    def __init__(self, path: Path, spec: DatasetSpec) -> None:
        table = _read(path)
        types = {name: _dtype(name, table.schema.field(name).type) for name in table.column_names}
        self.summary: DatasetSummary = summarize_table(TableHeader(types, table.num_rows), spec, path.stat().st_size)
        columns = {name: _numbers(name, table.column(name), types[name]) for name in types}
        self.labels: Array | None = columns.pop(spec.label, None)
        groups = {name: np.stack([columns[part] for part in parts], 1) for name, parts in spec.columns.items()}
        self._arrays: dict[str, Array] = groups or columns

    def rows(self, indices: NDArray[np.int64]) -> dict[str, Array]:
        return {name: array[indices] for name, array in self._arrays.items()}


def _read(path: Path) -> pa.Table:
    try:
        if sniff(path) is FileKind.PARQUET:
            return parquet.read_table(path)
        check_table(path)
        return csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=dialect_of(path).delimiter))
    except (pa.ArrowException, OSError) as error:
        raise DatasetUnreadable(kind="table", reason=str(error).splitlines()[0]) from error


def _dtype(name: str, kind: pa.DataType) -> str:
    """The tensor type of a column. Raises `DatasetUnreadable` for dates, lists and other things without one."""
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return str(np.dtype(kind.to_pandas_dtype()))
    if pa.types.is_null(kind):
        raise DatasetUnreadable(kind="table", reason=f"column {name!r} is empty")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    raise DatasetUnreadable(kind="table", reason=f"column {name!r} holds {kind}, which is neither numbers nor text")


def _numbers(name: str, column: pa.ChunkedArray, dtype: str) -> Array:
    if column.null_count:
        row = next(index for index, value in enumerate(column) if not value.is_valid)
        raise CellInvalid(column=name, row=row + 1, value=None)
    values = column.to_numpy()
    return np.asarray(values, dtype=object if dtype == "string" else dtype)
