"""Opens ONNX files safely, and counts their bytes: one `.onnx`, or a zip of exactly one with its external data.

Every backend that reads ONNX uses `open_model`. It checks the untrusted paths in a file before any library follows
them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from apps.agents.contracts.errors.models import (
    ArchiveWithoutModel,
    ExternalDataEscape,
    ExternalDataMissing,
    ModelMalformed,
    ModelWrongType,
)
from apps.agents.contracts.formats import FORMATS, Format
from apps.agents.files import onnx_wire
from apps.agents.files.archives import Limits, unpack
from apps.agents.files.onnx_wire import WireModel, WireTensor
from apps.agents.files.sniffing import FileKind, sniff

WANTED = FORMATS[Format.ONNX].upload


def open_model(path: Path, scratch: Path, limits: Limits | None = None) -> Path:
    """The `.onnx` file of the uploaded model at `path`, ready to load: the path itself, or a file unpacked under
    `scratch`.

    External data is checked: its path must be relative, inside the model's own folder, existing, not a link, and long
    enough. A plain `.onnx` may not have external data: in a content-addressed store, neighbouring files belong to other
    models.

    Raises `ModelWrongType` with the file's kind, the `Archive…` errors, `ArchiveWithoutModel`, `ModelTruncated`,
    `ModelMalformed`, `ExternalDataMissing` and `ExternalDataEscape`.
    """
    kind = sniff(path)
    if kind is FileKind.ONNX:
        _refuse_external_data(path, folder=None)
        return path
    if kind not in (FileKind.ONNX_ZIP, FileKind.ZIP):
        raise ModelWrongType(found=kind.value, wanted=WANTED)
    folder = Path(tempfile.mkdtemp(prefix="model-", dir=scratch))
    model = _only_model(unpack(path, folder, limits))
    inner = sniff(model)
    if inner is not FileKind.ONNX:
        raise ModelWrongType(found=f"a zip whose {model.name} is {inner.value}", wanted=WANTED)
    _refuse_external_data(model, folder=model.parent)
    return model


def model_files(model: Path) -> tuple[Path, ...]:
    """The opened `.onnx` file and the external files that its tensors refer to."""
    return (model, *(model.parent / name for name in sorted(external_locations(onnx_wire.read_model(model)))))


def external_locations(model: WireModel) -> frozenset[str]:
    """The external files that contain a model's tensors, as named in the file."""
    return frozenset(tensor.external.get("location", "") for tensor in model.tensors if tensor.external is not None)


def size_bytes(model: Path) -> int:
    """Size of an opened model on disk, unpacked, with external data."""
    return sum(file.stat().st_size for file in model_files(model))


def used_bytes(model: Path, wire: WireModel) -> int:
    """The same without unused bytes: of external files, each byte that a tensor refers to is counted once."""
    regions: dict[str, list[tuple[int, int]]] = {}
    for tensor in wire.tensors:
        if (entries := tensor.external) is not None:
            location, start, end = entries.get("location", ""), int(entries.get("offset", 0)), _end_of(tensor, entries)
            whole = (model.parent / location).stat().st_size
            regions.setdefault(location, []).append((start, end if end > start else whole))
    return model.stat().st_size + sum(_covered(spans) for spans in regions.values())


def _covered(spans: list[tuple[int, int]]) -> int:
    covered, reached = 0, 0
    for start, end in sorted(spans):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _only_model(files: Iterable[Path]) -> Path:
    models = [file for file in files if file.suffix.lower() == ".onnx"]
    if len(models) != 1:
        names = ", ".join(model.name for model in models[:5])
        raise ArchiveWithoutModel(count=len(models), names=f" ({names})" if names else "")
    return models[0]


def _refuse_external_data(model: Path, folder: Path | None) -> None:
    """Check every tensor with external data. Without a `folder`, external data is refused."""
    for tensor in onnx_wire.read_model(model).tensors:
        if tensor.external is not None:
            _check_external(tensor, tensor.external, folder)


def _check_external(tensor: WireTensor, entries: dict[str, str], folder: Path | None) -> None:
    location = entries.get("location", "")
    path = PurePosixPath(location.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or location[1:2] == ":":
        raise ExternalDataEscape(tensor=tensor.name, location=location)
    if folder is None:
        raise ExternalDataMissing(tensor=tensor.name, location=location, reason="which was not uploaded with it")
    file = folder / path
    # The archive contained no links. This check is cheap and also covers a folder that does not come from an archive.
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ExternalDataEscape(tensor=tensor.name, location=location)
    if not location or not file.is_file():
        raise ExternalDataMissing(tensor=tensor.name, location=location, reason="which is not in the archive")
    wanted = _end_of(tensor, entries)
    if wanted > file.stat().st_size:
        raise ExternalDataMissing(
            tensor=tensor.name,
            location=location,
            reason=f"which has {file.stat().st_size:,} bytes, but {wanted:,} are needed",
        )


def _end_of(tensor: WireTensor, entries: dict[str, str]) -> int:
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", 0))
    except ValueError as error:
        raise ModelMalformed(
            reason=f"the external data of {tensor.name!r} has an offset that is not a number"
        ) from error
    if offset < 0 or length < 0:
        raise ModelMalformed(reason=f"the external data of {tensor.name!r} has a negative offset or length")
    return offset + length
