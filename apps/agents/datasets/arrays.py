"""The arrays of an `.npz`, memory-mapped instead of loaded.

A compressed member cannot be mapped, so it is decompressed once into the scratch folder. A stored member is mapped
where it lies in the archive. Nothing is ever unpickled: an object array is refused by its header.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import DatasetTooLarge, DatasetUnreadable, InputUnfilled
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.files.archives import DAMAGE
from apps.agents.files.dataset_headers import summarize_arrays
from apps.agents.files.npz_headers import ArrayHeader, array_headers

Array = NDArray[np.generic]

_LOCAL_HEADER_BYTES = 30
_COPY_BYTES = 1024 * 1024


class ArraySource:
    """An `.npz` as rows by array name. Without `scratch`, a temporary folder lives as long as the source."""

    def __init__(self, path: Path, spec: DatasetSpec, scratch: Path | None) -> None:
        if scratch is None:
            self._folder = tempfile.TemporaryDirectory(prefix="lathe-arrays-")
            scratch = Path(self._folder.name)
        headers = array_headers(path)
        self.summary: DatasetSummary = summarize_arrays(headers, spec, path.stat().st_size)
        mapped = {name: _mapped(path, header, scratch) for name, header in headers.items()}
        self.groups: Array | None = mapped[spec.group] if spec.group else None
        apart = {name: mapped.pop(name) for name in spec.set_apart & mapped.keys()}
        self.labels: Array | None = apart.get(spec.label)
        self.output_labels = {output: apart[one.label] for output, one in spec.output_labels.items()}
        self._shared = {name: mapped.pop(name) for name in spec.shared_arrays & mapped.keys()}
        self._arrays = mapped

    def shared(self, name: str) -> Array:
        """An array that all examples share. Raises `InputUnfilled` if the file does not contain this name."""
        if name not in self._shared:
            raise InputUnfilled(wanted=name, reason=f"the file does not contain the array {name!r}", field="inputs")
        return np.asarray(self._shared[name])

    def rows(self, indices: NDArray[np.int64]) -> dict[str, Array]:
        """The examples at `indices` from every array, copied out of the file."""
        return {name: np.asarray(array[indices]) for name, array in self._arrays.items()}


def _mapped(path: Path, header: ArrayHeader, scratch: Path) -> Array:
    if header.data_bytes == 0:
        return np.empty(header.shape, dtype=np.dtype(header.descr))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{header.name}.npy")
        if info.compress_type == zipfile.ZIP_STORED:
            return _memmap(path, header, _member_offset(path, info.header_offset))
        unpacked = _unpack(archive, info, scratch)
    return _memmap(unpacked, header, 0)


def _memmap(path: Path, header: ArrayHeader, offset: int) -> Array:
    mapped: Array = np.memmap(
        path,
        dtype=np.dtype(header.descr),
        mode="r",
        offset=offset + header.data_offset,
        shape=header.shape or (1,),
        order="F" if header.fortran_order else "C",
    )
    return mapped.reshape(header.shape)


def _member_offset(path: Path, header_offset: int) -> int:
    """Where a stored member's data begins. Its local header repeats the name and may have other extra fields."""
    with path.open("rb") as file:
        file.seek(header_offset)
        local = file.read(_LOCAL_HEADER_BYTES)
    if len(local) < _LOCAL_HEADER_BYTES or local[:4] != b"PK\x03\x04":
        raise DatasetUnreadable(kind="npz", reason="the archive's directory points to the wrong place")
    name, extra = struct.unpack("<HH", local[26:30])
    return header_offset + _LOCAL_HEADER_BYTES + int(name) + int(extra)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, scratch: Path) -> Path:
    scratch.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(scratch).free
    if info.file_size > 0.9 * free:
        reason = (
            f"array {info.filename!r} unpacks to {info.file_size:,} bytes, but only {free:,} are free on the worker"
        )
        raise DatasetTooLarge(reason=reason)
    # The name inside the archive is not trusted, so the file is named by its offset in the archive.
    target = scratch / f"array-{info.header_offset}.npy"
    try:
        with archive.open(info) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, _COPY_BYTES)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DatasetUnreadable(kind="npz", reason=str(error)) from error
    return target
