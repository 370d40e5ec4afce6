"""A Keras file read from its archive: configuration and weights. Imports neither Keras nor TensorFlow.

`.keras` is a zip of `config.json`, `metadata.json` and `model.weights.h5`; `.h5` is one HDF5 file with the
configuration as an attribute. Both name objects that Keras creates when it loads them, so every name is checked first:
`apps.agents.backends.tensorflow.keras_objects` refuses what is not Keras' own, runs code or reads other files. See
https://keras.io/guides/serialization_and_saving/.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py

from apps.agents.backends.tensorflow.keras_objects import judge_objects
from apps.agents.contracts.errors.models import ModelTooLarge
from apps.agents.contracts.errors.tensorflow_models import Hdf5Unsafe, KerasDamaged
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.files.archives import DAMAGE, Limits, contents

CONFIGURATION, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MIB = 1024 * 1024
LONGEST_CONFIGURATION_BYTES = 32 * MIB
"""Parsed JSON takes up to twenty times its size."""
MOST_OF_ATTRIBUTES_BYTES = 64 * MIB
MOST_OF_LISTED_BYTES = 1024 * MIB
_LEGACY_WEIGHTS = "model_weights"
"""The group of an `.h5` with the model's weights."""
_OPTIMIZER = frozenset(("optimizer", "optimizer_weights"))
"""Groups of an optimizer's state. Layers of a `.keras` are named after their classes."""
_NO_WEIGHTS = ("seed_generator",)
"""Parts of names of random state, which is not learned."""
_MACHINE = frozenset((errno.ENOSPC, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.EDQUOT))
"""Error numbers that are the machine's fault, not the file's."""
_SHOWN_PARTS = 3
_DEEPEST = 200
"""Limit of groups within groups; a layer's path has only a few."""
_SPARSE_FROM_BYTES, _SPARSE_RATIO = 64 * MIB, 200.0
"""How much more than stored an array may declare, the same limits as for a zip in `apps.agents.files.archives`."""


@dataclass(frozen=True)
class KerasFile:
    """The description of a model in its file."""

    config: dict[str, Any]
    version: str
    """Version of Keras that wrote it; empty if not declared."""
    legacy: bool
    """Whether it is an `.h5`, which does not name modules."""
    weights: tuple[TensorSpec, ...]
    """The model's weights, without an optimizer's state."""


def read_keras_file(path: Path, *, zipped: bool, limit_bytes: int) -> KerasFile:
    """The Keras file at `path`, after all names in it were checked.

    `zipped`: how Keras will open it, because one file can be both a zip and HDF5.

    Raises `KerasDamaged`, `KerasLambda`, `KerasCustomObjects`, `KerasUnsafe`, `Hdf5Unsafe`, `ModelTooLarge` and the
    `Archive…` errors.
    """
    found = _zipped(path, limit_bytes) if zipped else _legacy(path, limit_bytes)
    judge_objects(found.config, legacy=found.legacy)
    return found


def _zipped(path: Path, limit_bytes: int) -> KerasFile:
    entries = {str(entry.name): entry for entry in contents(path, Limits(total_bytes=limit_bytes))}
    for wanted in (CONFIGURATION, WEIGHTS):
        if wanted not in entries:
            raise KerasDamaged(reason=f"the archive lacks {wanted}")
    for name in (CONFIGURATION, METADATA):
        if name in entries and entries[name].size_bytes > LONGEST_CONFIGURATION_BYTES:
            raise KerasDamaged(reason=f"its {name} takes {entries[name].size_bytes:,} bytes")
    with _damage(), zipfile.ZipFile(path) as archive:
        config = _json(archive.read(CONFIGURATION), CONFIGURATION)
        metadata = _json(archive.read(METADATA), METADATA) if METADATA in entries else {}
        with _seekable(archive, WEIGHTS) as stored, h5py.File(stored, "r") as file:
            weights = _weights(file, "", limit_bytes)
    return KerasFile(config, str(metadata.get("keras_version", ""))[:40], False, weights)


def _legacy(path: Path, limit_bytes: int) -> KerasFile:
    with _damage(), h5py.File(path, "r") as file:
        _judge_attributes(file, "/")
        text = file.attrs.get("model_config")
        if text is None:
            reason = "it contains only weights; save the whole model with model.save, not model.save_weights"
            raise KerasDamaged(reason=reason)
        config = _json(text, "model_config")
        version = file.attrs.get("keras_version", b"")
        weights = _weights(file, _LEGACY_WEIGHTS, limit_bytes)
    return KerasFile(config, _text(version)[:40], True, weights)


@contextmanager
def _seekable(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """An entry for random access. A compressed entry is unpacked first, because each step back would start again."""
    with archive.open(name) as packed:
        if archive.getinfo(name).compress_type == zipfile.ZIP_STORED:
            yield packed
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(packed, unpacked, MIB)
            unpacked.seek(0)
            yield unpacked


@contextmanager
def _damage() -> Iterator[None]:
    """Catch what reading invalid bytes raises. HDF5's errors also have system error numbers."""
    try:
        yield
    except (*DAMAGE, LookupError, RuntimeError, TypeError, AttributeError, ArithmeticError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno in _MACHINE:
            raise
        raise KerasDamaged(reason=" ".join(str(error).split())[:300] or type(error).__name__) from error


def _json(content: bytes | str, what: str) -> dict[str, Any]:
    if len(content) > LONGEST_CONFIGURATION_BYTES:
        raise KerasDamaged(reason=f"its {what} takes {len(content):,} bytes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise KerasDamaged(reason=f"its {what} is not valid JSON ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise KerasDamaged(reason=f"its {what} is not a JSON object")
    return found


# --- HDF5 -------------------------------------------------------------------------------------------------------------


def _weights(file: Any, below: str, limit_bytes: int) -> tuple[TensorSpec, ...]:
    """The model's arrays, by their paths in the group `below`, after the whole file was checked."""
    found: list[TensorSpec] = []
    declared_bytes = stored_bytes = 0
    for path, dataset in _datasets(file):
        if dataset.external or dataset.is_virtual:
            raise Hdf5Unsafe(name=path, what="keeps its numbers in another file")
        if dataset.dtype.hasobject:
            raise Hdf5Unsafe(name=path, what=f"contains {dataset.dtype} in place of numbers")
        shape = tuple(int(axis) for axis in dataset.shape)
        declared_bytes += math.prod(shape) * int(dataset.dtype.itemsize)
        stored_bytes += int(dataset.id.get_storage_size())
        if declared_bytes > limit_bytes:
            raise ModelTooLarge(size_mib=declared_bytes / MIB, limit_mib=limit_bytes / MIB)
        if declared_bytes > _SPARSE_FROM_BYTES and declared_bytes > _SPARSE_RATIO * stored_bytes:
            raise Hdf5Unsafe(name=path, what=f"declares {declared_bytes:,} bytes, but stores {stored_bytes:,}")
        name = path.removeprefix(f"{below}/") if below else path
        inside = not below or path.startswith(f"{below}/")
        if inside and _OPTIMIZER.isdisjoint(name.split("/")) and not any(part in name for part in _NO_WEIGHTS):
            found.append(TensorSpec(name=name, dtype=str(dataset.dtype), shape=shape))
    return tuple(found)


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Every array of the file. Each link is checked before it is followed. A group reached twice is walked once."""
    left: list[tuple[tuple[str, ...], Any]] = [((), file)]
    seen = {h5py.h5o.get_info(file.id).addr}
    while left:
        path, item = left.pop()
        _judge_attributes(item, "/".join(path[:_SHOWN_PARTS]) or "/")
        if isinstance(item, h5py.Dataset):
            yield "/".join(path), item
            continue
        if len(path) > _DEEPEST:
            raise Hdf5Unsafe(name="/".join(path[:_SHOWN_PARTS]), what=f"lies more than {_DEEPEST} groups deep")
        inner = []
        for name in item:
            place = (*path, str(name))
            if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                raise Hdf5Unsafe(name="/".join(place), what="is a link that points elsewhere")
            child = item[name]
            if isinstance(child, h5py.Group | h5py.Dataset):
                address = h5py.h5o.get_info(child.id).addr
                if isinstance(child, h5py.Dataset) or address not in seen:
                    seen.add(address)
                    inner.append((place, child))
        left += reversed(inner)


def _judge_attributes(item: Any, path: str) -> None:
    """Keras reads attributes completely, and a few bytes may declare many.

    Texts of variable length are stored elsewhere in the file, and several may be the same, so a list of them may take
    the file's size times its length.
    """
    declared = 0
    for number in range(h5py.h5a.get_num_attrs(item.id)):
        attribute = h5py.h5a.open(item.id, index=number)
        kind, count = attribute.get_type(), math.prod(attribute.shape)
        declared += count * kind.get_size()
        if count > 1 and (isinstance(kind, h5py.h5t.TypeVlenID) or _is_text(kind)):
            listed = count * item.file.id.get_filesize()
            if listed > MOST_OF_LISTED_BYTES:
                raise Hdf5Unsafe(
                    name=path, what=f"has {count:,} texts in an attribute, which may take {listed:,} bytes"
                )
    if declared > MOST_OF_ATTRIBUTES_BYTES:
        raise Hdf5Unsafe(name=path, what=f"has attributes of {declared:,} bytes")


def _is_text(kind: Any) -> bool:
    return isinstance(kind, h5py.h5t.TypeStringID) and bool(kind.is_variable_str())


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
