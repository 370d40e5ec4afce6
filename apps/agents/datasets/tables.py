"""Tables: CSV and Parquet, read column by column into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import EXAMPLES_AXIS, DatasetSpec
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.csv_tables import read_csv
from apps.agents.datasets.parquet_tables import read_parquet
from apps.agents.files.dataset_headers import TableHeader, groups_of, summarize_table
from apps.agents.files.sniffing import FileKind, sniff

Array = NDArray[np.generic]


class TableSource:
    """A table as rows by input name: groups of columns, or each column separately."""

    def __init__(self, path: Path, spec: DatasetSpec) -> None:
        read = read_parquet if sniff(path) is FileKind.PARQUET else read_csv
        columns, notes = read(path, spec)
        rows = len(next(iter(columns.values()), ()))
        header = TableHeader({name: _spec(name, array) for name, array in columns.items()}, rows, notes)
        self.summary: DatasetSummary = summarize_table(header, spec, path.stat().st_size)
        self.groups: Array | None = columns[spec.group] if spec.group else None
        apart = {name: columns.pop(name) for name in spec.set_apart & columns.keys()}
        self.labels: Array | None = apart.get(spec.label)
        self.output_labels = {output: apart[one.label] for output, one in spec.output_labels.items()}
        self._arrays: dict[str, Array] = {
            name: _put_together([columns[part] for part in parts], spec.shapes.get(name))
            for name, parts in groups_of(columns, spec).items()
        } or columns

    def rows(self, indices: NDArray[np.int64]) -> dict[str, Array]:
        return {name: array[indices] for name, array in self._arrays.items()}


def _spec(name: str, array: Array) -> TensorSpec:
    dtype = "string" if array.dtype == object else str(array.dtype)
    return TensorSpec(name=name, dtype=dtype, shape=(EXAMPLES_AXIS, *array.shape[1:]))


def _put_together(columns: list[Array], shape: tuple[int, ...] | None) -> Array:
    array = columns[0] if columns[0].ndim > 1 else np.stack(columns, 1)
    return array if shape is None else array.reshape(len(array), *shape)
