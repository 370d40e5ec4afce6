"""Opens an uploaded model: finds its format and its files.

Every part of this backend uses `open_model`. `apps.agents.files.archives` unpacks the untrusted zip.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from apps.agents.contracts.errors.models import ModelWrongType
from apps.agents.contracts.formats import TORCH_FORMATS, Format, uploads_in_words
from apps.agents.files.archives import Limits, unpack
from apps.agents.files.sniffing import FileKind, format_of, sniff

WANTED = f"a model of PyTorch: {uploads_in_words(TORCH_FORMATS)}"
CONFIGURATION = "config.json"
DESCRIPTION = "lathe.toml"
_KEY_FILES = {Format.TRANSFORMERS: CONFIGURATION, Format.STATE_DICT: DESCRIPTION}


@dataclass(frozen=True)
class Opened:
    """A model whose files can be read: a folder if it was uploaded as a zip of one, otherwise the file itself."""

    format: Format
    path: Path
    brought: tuple[str, ...] | None = None
    """The files in the folder that came from the archive, relative to it. `None` if it was opened before."""

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent


def open_model(path: Path, scratch: Path, limits: Limits | None = None) -> Opened:
    """The files of the model at `path`, unpacked under `scratch` if it is a zip. A folder is treated as already opened.

    Raises `ModelWrongType` with the file's kind, and the `Archive…` errors. Bare weights are opened as a state dict,
    whose reader explains what they lack.
    """
    if path.is_dir():
        return _opened_folder(path)
    kind = sniff(path)
    format = format_of(kind)  # noqa: A001 - the contract's word
    if format is None or format not in TORCH_FORMATS:
        raise ModelWrongType(found=kind.value, wanted=WANTED)
    if kind not in (FileKind.TRANSFORMERS_ZIP, FileKind.STATE_DICT_ZIP):
        return Opened(format, path)
    folder = Path(tempfile.mkdtemp(prefix="model-", dir=scratch))
    files = unpack(path, folder, limits)
    key = min((file for file in files if file.name == _KEY_FILES[format]), key=lambda file: len(file.parts))
    brought = (file.relative_to(key.parent).as_posix() for file in files if file.is_relative_to(key.parent))
    return Opened(format, key.parent, tuple(sorted(brought)))


def _opened_folder(folder: Path) -> Opened:
    format = Format.STATE_DICT if (folder / DESCRIPTION).exists() else Format.TRANSFORMERS  # noqa: A001
    return Opened(format, folder)
