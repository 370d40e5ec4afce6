"""The headers of the arrays of an `.npz`, read without numpy and without their values.

Formats: numpy.lib.format, versions 1 to 3, in a zip. numpy's own readers, `read_array_header_1_0` and `_2_0`, are not
used for uploads: they read and decode as many bytes as a header declares, up to 4 GiB, before they compare its length
with their limit; they parse what fails once more as Python 2 wrote it, by a tokenizer whose errors they let through;
their message about a long header advises `allow_pickle=True`; and version 3 has no public reader. A test compares what
is read here with what numpy reads.
"""

from __future__ import annotations

import ast
import math
import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from apps.agents.contracts.dataset_spec import EXAMPLES_AXIS
from apps.agents.contracts.errors.archives import ArchiveDamaged
from apps.agents.contracts.errors.datasets import DatasetUnreadable, PickledArray
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.files.archives import DAMAGE, Entry, Limits, contents
from apps.agents.files.sniffing import FileKind, sniff

LIMITS = Limits(total_bytes=64 * 1024**3, entries=2_000_000)
"""Data is larger than models, and an image folder has many files. The ratio of a bomb keeps the archive's default."""
NPY_MAGIC = b"\x93NUMPY"
NPY_HEADER_MAXIMUM = 64 * 1024
MOST_AXES = 64
"""numpy's limit (NPY_MAXDIMS)."""
LARGEST_AXIS = 2**63 - 1

_KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float"}


@dataclass(frozen=True)
class ArrayHeader:
    """The contents of an `.npy` header. `dtype` is the tensor type's name (`float32`, `string`)."""

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
        """Bytes of one element. A character of numpy's fixed-length text takes four."""
        size = int(self.descr[2:])
        return 4 * size if self.descr[1] == "U" else size

    @property
    def data_bytes(self) -> int:
        return self.item_bytes * math.prod(self.shape)


def array_headers(path: Path) -> dict[str, ArrayHeader]:
    """The arrays of an `.npz` by name, from their headers. Raises for anything except plain numbers or text."""
    if sniff(path) is not FileKind.NPZ:
        raise DatasetUnreadable(kind="npz", reason=f"its content is {sniff(path)}")
    headers = {}
    entries = checked_entries(path, "npz")
    with zipfile.ZipFile(path) as archive:
        for entry in entries:
            if entry.name.suffix != ".npy":
                raise DatasetUnreadable(kind="npz", reason=f"the entry {entry.name} is not an array")
            name = str(entry.name.with_suffix(""))
            with archive.open(entry.info) as member:
                header = read_npy_header(name, member)
            if header.data_offset + header.data_bytes != entry.size_bytes:
                raise DatasetUnreadable(
                    kind="npz", reason=f"array {name!r} does not have the length that its header declares"
                )
            headers[name] = header
    return headers


def read_npy_header(name: str, stream: IO[bytes]) -> ArrayHeader:
    """The header of one array, by the format's versions 1 to 3 (numpy.lib.format)."""
    try:
        start = stream.read(8)
        if start[:6] != NPY_MAGIC or start[6] not in (1, 2, 3):
            raise ValueError("it does not begin like an .npy of a known version")
        width = 2 if start[6] == 1 else 4
        (length,) = struct.unpack("<H" if width == 2 else "<I", stream.read(width))
        if length > NPY_HEADER_MAXIMUM:
            raise ValueError(f"its header declares {length} bytes")
        fields = ast.literal_eval(stream.read(length).decode("latin1" if start[6] < 3 else "utf-8").strip())
        shape, descr, fortran = tuple(fields["shape"]), fields["descr"], bool(fields["fortran_order"])
        if len(shape) > MOST_AXES or not all(isinstance(axis, int) and 0 <= axis <= LARGEST_AXIS for axis in shape):
            raise ValueError(f"its shape is {str(shape)[:100]}")
    # Deeply nested text exhausts Python's parser, which raises MemoryError or RecursionError.
    except (SyntaxError, KeyError, TypeError, IndexError, MemoryError, RecursionError, struct.error, *DAMAGE) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error) or "it cannot be parsed"
        raise DatasetUnreadable(kind="npz", reason=f"the header of array {name!r} is invalid: {reason}") from error
    return ArrayHeader(name, tensor_dtype(name, descr), descr, shape, fortran, 8 + width + length)


def tensor_dtype(array: str, descr: object) -> str:
    """The tensor type of a numpy type string such as `<f4`. Raises `PickledArray` for objects, records, dates."""
    if isinstance(descr, str) and len(descr) >= 3 and descr[0] in "<>|=" and re.fullmatch("[0-9]{1,9}", descr[2:]):
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


def checked_entries(path: Path, kind: str) -> tuple[Entry, ...]:
    """The files of the archive, checked. A damaged archive is reported as a damaged data set."""
    try:
        return contents(path, LIMITS)
    except ArchiveDamaged as error:
        raise DatasetUnreadable(kind=kind, reason=error.context["reason"]) from error
