"""A data set at a glance: its summary from headers and lists of names, without numpy and without loading it.

This is what the web process does with an upload. It reads the headers of the arrays in an `.npz`, the list of names of
a zip of images, the lines of a `.csv`; a Parquet table needs pyarrow and is left to the worker, as are the values
themselves (`apps.agents.handlers.datasets`).
"""

from __future__ import annotations

import ast
import csv
import math
import struct
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from apps.agents.archives import Entry, Limits, contents
from apps.agents.dataset_spec import PAIR_SUFFIXES, DatasetKind, DatasetSpec
from apps.agents.errors import (
    ArchiveDamaged,
    ArrayLengths,
    ClassesMismatch,
    DatasetEmpty,
    DatasetUnreadable,
    LabelCount,
    LabelsMissing,
    PickledArray,
)
from apps.agents.reports import DatasetSummary, TensorSpec
from apps.agents.sniffing import FileKind, sniff

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
LIMITS = Limits(total_bytes=64 * 1024**3, entries=2_000_000)
"""Data is larger than models, and an image folder has many files; the ratio of a bomb stays the archive's default."""
NPY_MAGIC = b"\x93NUMPY"
NPY_HEADER_MAXIMUM = 64 * 1024
TYPED_ROWS = 1000
"""Rows of a table that the column types are guessed from here; the worker reads all of them."""
EXAMPLES_AXIS = "N"

_KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float"}


# --- npz -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ArrayHeader:
    """What an `.npy` header says. `dtype` is the tensor type's name (`float32`, `string`)."""

    name: str
    dtype: str
    descr: str
    shape: tuple[int, ...]
    fortran_order: bool
    data_offset: int
    """Bytes from the start of the member to the first element."""

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(name=self.name, dtype=self.dtype, shape=(EXAMPLES_AXIS, *self.shape[1:]))

    @property
    def item_bytes(self) -> int:
        """Bytes of one element; a character of numpy's fixed-length text takes four."""
        size = int(self.descr[2:])
        return 4 * size if self.descr[1] == "U" else size

    @property
    def data_bytes(self) -> int:
        return self.item_bytes * math.prod(self.shape)


def array_headers(path: Path) -> dict[str, ArrayHeader]:
    """The arrays of an `.npz` by name, from their headers. Raises for anything that is not plain numbers or text."""
    if sniff(path) is not FileKind.NPZ:
        raise DatasetUnreadable(kind="npz", reason=f"by its content this is {sniff(path)}")
    headers = {}
    entries = _entries(path, "npz")
    with zipfile.ZipFile(path) as archive:
        for entry in entries:
            if entry.name.suffix != ".npy":
                raise DatasetUnreadable(kind="npz", reason=f"the entry {entry.name} is no array")
            name = str(entry.name.with_suffix(""))
            with archive.open(entry.info) as member:
                header = read_npy_header(name, member)  # type: ignore[arg-type]
            if header.data_offset + header.data_bytes != entry.size_bytes:
                raise DatasetUnreadable(kind="npz", reason=f"array {name!r} is not as long as its header says")
            headers[name] = header
    return headers


def read_npy_header(name: str, stream: BinaryIO) -> ArrayHeader:
    """The header of one array, by the format's versions 1 to 3 (numpy.lib.format)."""
    try:
        start = stream.read(8)
        if start[:6] != NPY_MAGIC or start[6] not in (1, 2, 3):
            raise ValueError("it does not begin as an .npy of a known version")
        width = 2 if start[6] == 1 else 4
        (length,) = struct.unpack("<H" if width == 2 else "<I", stream.read(width))
        if length > NPY_HEADER_MAXIMUM:
            raise ValueError(f"its header claims {length} bytes")
        fields = ast.literal_eval(stream.read(length).decode("latin1" if start[6] < 3 else "utf-8").strip())
        shape, descr, fortran = tuple(fields["shape"]), fields["descr"], bool(fields["fortran_order"])
        if not all(isinstance(axis, int) and axis >= 0 for axis in shape):
            raise ValueError(f"its shape is {shape}")
    except (ValueError, SyntaxError, KeyError, TypeError, IndexError, struct.error, zipfile.BadZipFile) as error:
        raise DatasetUnreadable(kind="npz", reason=f"array {name!r} has no valid header: {error}") from error
    return ArrayHeader(name, tensor_dtype(name, descr), descr, shape, fortran, 8 + width + length)


def tensor_dtype(array: str, descr: object) -> str:
    """The tensor type of a numpy type string such as `<f4`. Raises `PickledArray` for objects, records, dates."""
    if isinstance(descr, str) and len(descr) >= 3 and descr[0] in "<>|=" and descr[2:].isdigit():
        kind, size = descr[1], int(descr[2:])
        if kind in "US":
            return "string"
        if kind == "b" and size == 1:
            return "bool"
        if kind in "iu" and size in (1, 2, 4, 8):
            return f"{_KINDS[kind]}{8 * size}"
        if kind == "f" and size in (2, 4, 8):
            return f"float{8 * size}"
    raise PickledArray(array=array, descr=descr)


# --- images ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageFolders:
    """The pictures of a zip by class folder, classes and files in alphabetical order."""

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    labels: tuple[int, ...]
    """Index into `classes`, one an entry."""


def image_folders(path: Path, spec: DatasetSpec) -> ImageFolders:
    """Which picture belongs to which class. A common folder around all classes is looked through.

    Raises `ClassesMismatch` for a folder that `spec.classes` does not name, and `DatasetEmpty` without any picture.
    """
    entries = [entry for entry in _entries(path, "images") if _is_picture(entry)]
    if not entries:
        raise DatasetEmpty(reason="the archive holds no pictures in folders")
    depth = _class_depth(entries)
    by_class: dict[str, list[Entry]] = {}
    for entry in entries:
        by_class.setdefault(entry.name.parts[depth], []).append(entry)
    classes, index = _class_indices(sorted(by_class), spec.classes)
    pairs = [
        (entry, index[name]) for name in sorted(by_class) for entry in sorted(by_class[name], key=lambda e: str(e.name))
    ]
    return ImageFolders(classes, tuple(entry for entry, _ in pairs), tuple(label for _, label in pairs))


def _is_picture(entry: Entry) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in entry.name.parts)
    return not hidden and entry.name.suffix.lower() in IMAGE_SUFFIXES


def _class_depth(entries: Sequence[Entry]) -> int:
    """Which part of the paths is the class: the first one, below folders that all pictures share."""
    depth = 0
    while all(len(entry.name.parts) > depth + 2 for entry in entries):
        if len({entry.name.parts[depth] for entry in entries}) > 1:
            break
        depth += 1
    for entry in entries:
        if len(entry.name.parts) < depth + 2:
            raise DatasetUnreadable(kind="images", reason=f"the picture {entry.name} lies in no class folder")
    return depth


def _class_indices(folders: Sequence[str], named: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    if named:
        unknown = [folder for folder in folders if folder not in named]
        if unknown:
            reason = f"folder {unknown[0]!r} is none of the classes named ({', '.join(named)})"
            raise ClassesMismatch(reason=reason)
        return tuple(named), {name: named.index(name) for name in folders}
    if all(folder.isdecimal() for folder in folders):
        numbers = {folder: int(folder) for folder in folders}
        if len(set(numbers.values())) < len(numbers):
            raise ClassesMismatch(reason="two folders have the same number")
        if max(numbers.values()) >= 1_000_000:
            raise ClassesMismatch(reason=f"folder {max(numbers.values())} is no class number")
        return tuple(str(index) for index in range(max(numbers.values()) + 1)), numbers
    return tuple(folders), {name: index for index, name in enumerate(folders)}


# --- tables ----------------------------------------------------------------------------------------------------------


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


# --- summaries -------------------------------------------------------------------------------------------------------


def inspect_headers(path: Path, spec: DatasetSpec) -> DatasetSummary | None:
    """The summary of the data set at `path`, read as `spec` says; `None` for Parquet, which only the worker can read.

    Raises the errors of `apps.agents.errors` about data sets and archives. The values themselves are not looked at.
    """
    if spec.kind is DatasetKind.NPZ:
        return summarize_arrays(array_headers(path), spec, path.stat().st_size)
    if spec.kind is DatasetKind.IMAGES:
        return summarize_images(image_folders(path, spec), spec, path.stat().st_size)
    if sniff(path) is FileKind.PARQUET:
        return None
    return summarize_table(table_header(path), spec, path.stat().st_size)


def summarize_arrays(headers: dict[str, ArrayHeader], spec: DatasetSpec, size_bytes: int) -> DatasetSummary:
    """The summary that the arrays' headers come to. Every array has one entry an example along its first axis."""
    labels = headers.get(spec.label)
    inputs = [header for name, header in headers.items() if name != spec.label]
    if not inputs:
        raise DatasetEmpty(reason=f"there is no array beside {spec.label!r}")
    for header in inputs:
        if not header.shape:
            raise DatasetUnreadable(kind="npz", reason=f"array {header.name!r} is a single number, not one an example")
    first = inputs[0]
    for header in inputs[1:]:
        if header.shape[0] != first.shape[0]:
            raise ArrayLengths(
                array=header.name, length=header.shape[0], other=first.name, expected=first.shape[0], field=header.name
            )
    if labels is None and spec.needs_labels:
        raise LabelsMissing(task=spec.task, label=spec.label, offered=", ".join(headers), field="label")
    if labels is not None and labels.shape[:1] != (first.shape[0],):
        raise LabelCount(
            labels=labels.shape[0] if labels.shape else 0, label=spec.label, examples=first.shape[0], field="label"
        )
    if spec.pairs:
        _check_pairs(headers, spec)
    return _summary(
        spec, first.shape[0], [header.spec for header in inputs], labels.spec if labels else None, (), size_bytes
    )


def _check_pairs(headers: dict[str, ArrayHeader], spec: DatasetSpec) -> None:
    for name, header in headers.items():
        if name == spec.label:
            continue
        stem, suffix = name[:-2], name[-2:]
        if suffix not in PAIR_SUFFIXES:
            raise DatasetUnreadable(kind="npz", reason=f"array {name!r} ends neither in _a nor in _b, as pairs do")
        other = headers.get(stem + ("_b" if suffix == "_a" else "_a"))
        if other is None:
            raise DatasetUnreadable(kind="npz", reason=f"array {name!r} has no partner")
        if (other.shape, other.dtype) != (header.shape, header.dtype):
            reason = f"{header.spec} and {other.spec} are a pair and must have one shape and type"
            raise DatasetUnreadable(kind="npz", reason=reason)


def summarize_images(folders: ImageFolders, spec: DatasetSpec, size_bytes: int) -> DatasetSummary:
    """Pictures offer one input, called `image`, shaped as the preprocessing makes them."""
    preprocessing = spec.preprocessing
    image = TensorSpec(name="image", dtype=preprocessing.dtype, shape=(EXAMPLES_AXIS, *preprocessing.shape))
    labels = TensorSpec(name=spec.label, dtype="int64", shape=(EXAMPLES_AXIS,))
    return _summary(spec, len(folders.entries), [image], labels, folders.classes, size_bytes)


def summarize_table(header: TableHeader, spec: DatasetSpec, size_bytes: int) -> DatasetSummary:
    """Named groups of columns are one input each; without groups every column is offered under its own name."""
    features = {name: dtype for name, dtype in header.columns.items() if name != spec.label}
    if spec.needs_labels and spec.label not in header.columns:
        raise LabelsMissing(task=spec.task, label=spec.label, offered=", ".join(header.columns), field="label")
    if not features:
        raise DatasetEmpty(reason=f"there is no column beside {spec.label!r}")
    for name, columns in spec.columns.items():
        for column in columns:
            if column not in features:
                reason = f"the table has no feature column {column!r}, which input {name!r} is to be made of"
                raise DatasetUnreadable(kind="table", reason=reason, field="columns")
    inputs = [
        TensorSpec(
            name=name, dtype=widest([features[column] for column in columns]), shape=(EXAMPLES_AXIS, len(columns))
        )
        for name, columns in spec.columns.items()
    ] or [TensorSpec(name=name, dtype=dtype, shape=(EXAMPLES_AXIS,)) for name, dtype in features.items()]
    labels = None
    if spec.label in header.columns:
        labels = TensorSpec(name=spec.label, dtype=header.columns[spec.label], shape=(EXAMPLES_AXIS,))
    return _summary(spec, header.rows, inputs, labels, (), size_bytes)


def widest(dtypes: Sequence[str]) -> str:
    """The type that one array of all these columns gets."""
    for dtype in ("string", "float64"):
        if dtype in dtypes:
            return dtype
    return "float64" if any(dtype.startswith("float") for dtype in dtypes) else "int64"


def _summary(
    spec: DatasetSpec,
    examples: int,
    inputs: Sequence[TensorSpec],
    labels: TensorSpec | None,
    classes: tuple[str, ...],
    size_bytes: int,
) -> DatasetSummary:
    if examples == 0:
        raise DatasetEmpty(reason="its arrays, folders or rows are empty")
    return DatasetSummary(
        kind=spec.kind,
        task=spec.task,
        examples=examples,
        inputs=tuple(inputs),
        labels=labels,
        classes=classes or spec.classes,
        size_bytes=size_bytes,
    )


def _entries(path: Path, kind: str) -> tuple[Entry, ...]:
    """The files of the archive, checked; a damaged archive is a damaged data set."""
    try:
        return contents(path, LIMITS)
    except ArchiveDamaged as error:
        raise DatasetUnreadable(kind=kind, reason=error.context["reason"]) from error
