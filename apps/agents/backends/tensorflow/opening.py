"""Opens an uploaded model: finds its format and its files.

Every part of this backend uses `open_model`. Nothing is loaded before it has passed the checks of
`apps.agents.backends.tensorflow.keras_file` and `saved_model_file`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from apps.agents.backends.tensorflow.keras_file import KerasFile, read_keras_file
from apps.agents.backends.tensorflow.saved_model_file import SavedModelFile, read_saved_model
from apps.agents.contracts.errors.models import ModelWrongType
from apps.agents.contracts.errors.tensorflow_models import SavedModelAlone
from apps.agents.contracts.formats import FORMATS, KERAS_FORMATS, TENSORFLOW_FORMATS, Format, uploads_in_words
from apps.agents.files.archives import Limits, unpack
from apps.agents.files.sniffing import FileKind, format_of, sniff

WANTED = uploads_in_words(TENSORFLOW_FORMATS)
SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True)
class Opened:
    """A model whose files can be read, and their description."""

    format: Format
    path: Path
    """The file with a name that Keras accepts, or the SavedModel's folder."""
    described: KerasFile | SavedModelFile


def open_model(path: Path, scratch: Path, limits: Limits | None = None) -> Opened:
    """The files of the model at `path`, unpacked under `scratch` if it is a zip. A folder is treated as already opened.

    Raises `ModelWrongType` with the file's kind, and the errors of the checks.
    """
    limits = limits or Limits()
    if path.is_dir():
        return Opened(Format.SAVED_MODEL, path, read_saved_model(path))
    kind = sniff(path)
    format = format_of(kind)  # noqa: A001 - the contract's word
    if format is None or format not in TENSORFLOW_FORMATS:
        raise ModelWrongType(found=kind.value, wanted=WANTED)
    if kind is FileKind.SAVED_MODEL:
        raise SavedModelAlone()
    folder = Path(tempfile.mkdtemp(prefix="model-", dir=scratch))
    if format in KERAS_FORMATS:
        described = read_keras_file(path, zipped=format is Format.KERAS, limit_bytes=limits.total_bytes)
        named = folder / f"model{FORMATS[format].suffix}"
        named.symlink_to(path.resolve())
        return Opened(format, named, described)
    files = unpack(path, folder, limits)
    found = min((file for file in files if file.name == SAVED_MODEL), key=lambda file: len(file.parts))
    return Opened(format, found.parent, read_saved_model(found.parent))
