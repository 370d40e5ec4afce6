"""A Parquet file as typed columns: how its types map to tensors, and which columns are not features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import CellEmpty, DatasetUnreadable
from apps.agents.datasets.index_columns import INDEX_LEFT_OUT, is_index

Array = NDArray[np.generic]
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)


def read_parquet(path: Path, spec: DatasetSpec) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The columns of the table at `path` by name, and how it was read, in sentences.

    Raises `DatasetUnreadable` and `CellEmpty` with the column, and with the row if a single row is wrong.
    """
    try:
        return _read(parquet.ParquetFile(path).read(), spec)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise DatasetUnreadable(kind="table", reason=str(error).splitlines()[0]) from error


def _read(table: pa.Table, spec: DatasetSpec) -> tuple[dict[str, Array], tuple[str, ...]]:
    names = table.column_names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DatasetUnreadable(kind="table", reason=f"two columns are called {twice!r}")
    asked = spec.named
    saved_index = _saved_index(table.schema) - asked
    notes, found = [], {}
    for name in names:
        column = table.column(name)
        if name in saved_index or (name not in asked and is_index(name, column)):
            notes.append(INDEX_LEFT_OUT.format(name=repr(name)))
        else:
            found[name] = _array(name, column)
    return found, tuple(notes)


def _saved_index(schema: pa.Schema) -> set[str]:
    """The columns that pandas declares as the data frame's index. If every column is one, they are kept as features."""
    try:
        index = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError):
        return set()
    named = {name for name in index if isinstance(name, str)}
    return named if named < set(schema.names) else set()


def _array(name: str, column: pa.ChunkedArray) -> Array:
    kind = column.type
    if pa.types.is_null(kind):
        raise DatasetUnreadable(kind="table", reason=f"column {name!r} is empty")
    if column.null_count:
        raise CellEmpty(column=name, row=pc.index(column.is_null(), True).as_py() + 1, field="file")
    return _values(name, column.combine_chunks(), kind)


def _values(name: str, values: Any, kind: pa.DataType) -> Array:
    """The values of a column without gaps. Lists of equal length become further axes."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return np.asarray(values.to_numpy_ndarray())
    if isinstance(kind, pa.BaseExtensionType):
        return _values(name, values.storage, kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _values(name, values.dictionary_decode(), kind.value_type)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    if pa.types.is_decimal(kind):
        return np.asarray(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.asarray(pc.cast(values, pa.large_string()).to_numpy(zero_copy_only=False), dtype=object)
    if any(is_bytes(kind) for is_bytes in _BYTES):
        return _text_of_bytes(name, values)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(name, values, kind)
    raise DatasetUnreadable(kind="table", reason=f"column {name!r} contains {kind}, which is neither numbers nor text")


def _text_of_bytes(name: str, values: Any) -> Array:
    """Text from programs that do not mark it as text."""
    try:
        text = pc.cast(pc.cast(values, pa.large_binary()), pa.large_string())
    except pa.ArrowInvalid as error:
        reason = f"column {name!r} contains bytes that are not UTF-8 text"
        raise DatasetUnreadable(kind="table", reason=reason, field="file") from error
    return np.asarray(text.to_numpy(zero_copy_only=False), dtype=object)


def _lists(name: str, values: Any, kind: pa.DataType) -> Array:
    lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
    length = int(lengths[0]) if len(lengths) else 0
    odd = np.flatnonzero(lengths != length)
    if len(odd):
        reason = f"column {name!r} has a list of {length} in row 1 and one of {lengths[odd[0]]} in row {odd[0] + 1}"
        raise DatasetUnreadable(kind="table", reason=f"{reason}: all lists must have the same length", field="file")
    inner = pc.list_flatten(values)
    if inner.null_count:
        row = pc.index(inner.is_null(), True).as_py() // max(1, length)
        raise CellEmpty(column=name, row=row + 1, field="file")
    flat = _values(name, inner, kind.value_type)
    return flat.reshape(len(values), length, *flat.shape[1:])
