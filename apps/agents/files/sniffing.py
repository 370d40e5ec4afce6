"""Recognizes a file by its first bytes instead of its name.

The web process calls it for every upload. A kind's value completes a sentence ("this is a Python pickle"). It reads a
zip's list of names but never unpacks it.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from apps.agents.contracts.formats import Format
from apps.agents.files.archives import unpacked_name
from apps.agents.files.text_encoding import is_western, marked_encoding

HEAD_BYTES = 4096
LONGEST_DIRECTORY_BYTES = 32 * 1024 * 1024
"""Longer lists of names in a zip are not read: as Python objects they would take gigabytes."""


class FileKind(StrEnum):
    """The value completes "this is …"."""

    EMPTY = "an empty file"
    ONNX = "an ONNX model"
    ONNX_ZIP = "a zip archive with an ONNX model"
    ZIP = "a zip archive"
    TORCH_ZIP = "a PyTorch checkpoint"
    TORCHSCRIPT_ZIP = "a TorchScript archive"
    TORCH_EXPORT = "a PyTorch exported program"
    TRANSFORMERS_ZIP = "a zip archive of a transformers folder"
    STATE_DICT_ZIP = "a zip archive of PyTorch weights with a lathe.toml"
    KERAS_ZIP = "a Keras model"
    SAVED_MODEL_ZIP = "a zip archive with a TensorFlow SavedModel"
    NPZ = "a NumPy archive (.npz)"
    NPY = "a NumPy array (.npy)"
    PICKLE = "a Python pickle"
    HDF5 = "an HDF5 file, as Keras writes for .h5"
    SAFETENSORS = "a safetensors file"
    TFLITE = "a TensorFlow Lite model"
    SAVED_MODEL = "a TensorFlow SavedModel protobuf"
    ORT = "an ONNX Runtime model (.ort)"
    GGUF = "a GGUF file"
    PARQUET = "a Parquet table"
    PNG = "a PNG image"
    JPEG = "a JPEG image"
    GZIP = "a gzip archive"
    TAR = "a tar archive"
    SEVEN_ZIP = "a 7z archive"
    PDF = "a PDF document"
    ELF = "a Linux program"
    HTML = "an HTML page"
    GIT_LFS = "a Git LFS pointer, not the file itself"
    JSON = "a JSON text"
    CSV = "a text table (.csv)"
    TEXT = "a text file"
    UNKNOWN = "a file of an unknown kind"


_SIGNATURES: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", FileKind.HDF5),
    (0, b"\x93NUMPY", FileKind.NPY),
    (4, b"TFL3", FileKind.TFLITE),
    (4, b"ORTM", FileKind.ORT),
    (0, b"GGUF", FileKind.GGUF),
    (0, b"PAR1", FileKind.PARQUET),
    (0, b"\x89PNG\r\n\x1a\n", FileKind.PNG),
    (0, b"\xff\xd8\xff", FileKind.JPEG),
    (0, b"\x1f\x8b", FileKind.GZIP),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind.SEVEN_ZIP),
    (0, b"%PDF-", FileKind.PDF),
    (0, b"\x7fELF", FileKind.ELF),
    (0, b"version https://git-lfs", FileKind.GIT_LFS),
    (257, b"ustar", FileKind.TAR),
)
"""Offset, bytes at that offset, kind."""

_ZIP_MEMBERS: tuple[tuple[str, FileKind], ...] = (
    (r"\.onnx$", FileKind.ONNX_ZIP),
    (r"(^|/)constants\.pkl$", FileKind.TORCHSCRIPT_ZIP),
    (r"(^|/)(serialized_exported_program\.json|models/\w+\.json|archive_format)$", FileKind.TORCH_EXPORT),
    (r"(^|/)data\.pkl$", FileKind.TORCH_ZIP),
    (r"^model\.weights\.h5$", FileKind.KERAS_ZIP),
    (r"(^|/)saved_model\.pb$", FileKind.SAVED_MODEL_ZIP),
    (r"\.npy$", FileKind.NPZ),
)
"""The kind that a member's name indicates. The first match decides."""

_DESCRIPTION = r"^([^/]+/)?lathe\.toml$"
_CONFIGURATION = r"^(?P<folder>[^/]+/)?config\.json$"
_TRANSFORMERS_WEIGHTS = r"([^/]+\.safetensors|pytorch_model[^/]*\.bin)$"
"""In the same folder as the configuration. The archive may also contain an ONNX export, as packed by hubs."""

_FORMATS = {
    FileKind.ONNX: Format.ONNX,
    FileKind.ONNX_ZIP: Format.ONNX,
    FileKind.TORCH_EXPORT: Format.TORCH_EXPORT,
    FileKind.TORCHSCRIPT_ZIP: Format.TORCHSCRIPT,
    FileKind.TRANSFORMERS_ZIP: Format.TRANSFORMERS,
    FileKind.STATE_DICT_ZIP: Format.STATE_DICT,
    FileKind.SAFETENSORS: Format.STATE_DICT,
    FileKind.TORCH_ZIP: Format.STATE_DICT,
    FileKind.PICKLE: Format.STATE_DICT,
    FileKind.KERAS_ZIP: Format.KERAS,
    FileKind.HDF5: Format.KERAS_H5,
    FileKind.SAVED_MODEL_ZIP: Format.SAVED_MODEL,
    FileKind.SAVED_MODEL: Format.SAVED_MODEL,
    FileKind.TFLITE: Format.TFLITE,
}

_CARRIERS = frozenset(
    {FileKind.ONNX_ZIP, FileKind.TORCH_EXPORT, FileKind.TRANSFORMERS_ZIP, FileKind.STATE_DICT_ZIP, FileKind.TORCH_ZIP}
)
"""Archives of models that may contain Python files."""


def format_of(kind: FileKind) -> Format | None:
    """The format whose inspector can comment on a file of this kind; `None` if no format matches.

    Bare weights and pickles go to the state dict's inspector, and a single `saved_model.pb` to the SavedModel's. They
    refuse it with what is missing, or what to save instead.
    """
    return _FORMATS.get(kind)


def sniff(path: Path) -> FileKind:
    """The kind of the file at `path`. Raises only the errors of opening it."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    size = path.stat().st_size
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_kind(path)
    return sniff_head(head, size)


def sniff_head(head: bytes, size: int) -> FileKind:
    """The kind of a file of `size` bytes that begins with `head`. Does not look into a zip."""
    if not head:
        return FileKind.EMPTY
    for offset, signature, kind in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return kind
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return FileKind.ZIP
    if _is_safetensors(head, size):
        return FileKind.SAFETENSORS
    if _is_pickle(head):
        return FileKind.PICKLE
    return _protobuf_kind(head) or _text_kind(head) or FileKind.UNKNOWN


def code_members(path: Path, kind: FileKind) -> list[str]:
    """The names of the Python files in the archive at `path`, which has this kind.

    TorchScript's own archives contain text like Python, but only its interpreter reads it.
    """
    if kind not in _CARRIERS:
        return []
    return [name for name in _names(path) if name.lower().endswith(".py")]


def _names(path: Path) -> list[str]:
    """Names of the files in an archive as unpacked (`apps.agents.files.archives`): `a.py/.` becomes `a.py`."""
    with path.open("rb", buffering=0) as file, zipfile.ZipFile(_Sparing(file)) as archive:
        return [str(unpacked_name(info)) for info in archive.infolist() if not info.is_dir()]


def _zip_kind(path: Path) -> FileKind:
    try:
        names = _names(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return FileKind.ZIP
    if any(re.search(_DESCRIPTION, name) for name in names):
        return FileKind.STATE_DICT_ZIP
    if _is_transformers(names):
        return FileKind.TRANSFORMERS_ZIP
    for pattern, kind in _ZIP_MEMBERS:
        if any(re.search(pattern, name) for name in names):
            return kind
    return FileKind.ZIP


def _is_transformers(names: Sequence[str]) -> bool:
    """Whether a configuration and weights lie together at the archive's root or in its only folder."""
    folders = {match["folder"] or "" for name in names if (match := re.match(_CONFIGURATION, name))}
    if not folders:
        return False
    split = ((name[: name.rfind("/") + 1], name[name.rfind("/") + 1 :]) for name in names)
    return any(folder in folders and re.match(_TRANSFORMERS_WEIGHTS, name) for folder, name in split)


class _Sparing(io.BufferedReader):
    """A file that refuses to read more than `LONGEST_DIRECTORY_BYTES` at once: `zipfile` reads a whole directory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LONGEST_DIRECTORY_BYTES:
            raise ValueError(f"{size:,} bytes at once")
        return super().read(size)


def _is_safetensors(head: bytes, size: int) -> bool:
    """Whether it begins with an eight-byte little-endian length, followed by that much JSON."""
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= length <= size - 8


def _is_pickle(head: bytes) -> bool:
    """Protocol 2 and later are marked. Older ones begin with a global, list or dictionary and end in a full stop."""
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    return re.match(rb"c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|\((lp|dp|i)\d*", head) is not None


def _protobuf_kind(head: bytes) -> FileKind | None:
    """Distinguish a SavedModel from an ONNX model: both begin with a small number in field 1.

    In a SavedModel it is the schema version, 1, and field 2 is a graph of at least 128 bytes that begins with its own
    field 1. In an ONNX model it is the IR version, and any of its fields may follow (field 2 is the producer's name).
    """
    if re.match(rb"\x08\x01\x12[\x80-\xff]+[\x00-\x7f]\x0a", head):
        return FileKind.SAVED_MODEL
    if re.match(rb"\x08[\x01-\x7f][\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2\xca]", head):
        return FileKind.ONNX
    # Writers may put the graph or the opsets first; text never has a zero byte.
    if head[:1] in (b"\x3a", b"\x42") and b"\x00" in head:
        return FileKind.ONNX
    return None


def _text_kind(head: bytes) -> FileKind | None:
    text = _decoded(head)
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):
        return FileKind.HTML
    if start.startswith(("{", "[")):
        return FileKind.JSON
    first, _, rest = text.replace("\r", "\n").partition("\n")
    if rest and ("," in first or ";" in first or "\t" in first or "|" in first):
        return FileKind.CSV
    return FileKind.TEXT


def _decoded(head: bytes) -> str | None:
    """The text at the beginning of `head`, in UTF-8, UTF-16 or a single-byte encoding."""
    if marked := marked_encoding(head):
        return head.decode(marked, errors="ignore")
    if b"\x00" in head:
        return None
    # The head may end within a character, so up to three invalid bytes at the end are ignored.
    for cut in range(min(4, len(head))):
        try:
            return head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return head.decode("latin-1") if is_western(head) else None
