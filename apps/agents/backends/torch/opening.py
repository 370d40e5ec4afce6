"""From a model blob to opened files: which format it is, and where its parts lie.

Every part of this backend goes through `open_model`: a zip from a stranger is unpacked by `apps.agents.files.archives`.
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
    """A model whose files can be read: a folder where it came as a zip of one, else the file itself."""

    format: Format
    path: Path
    brought: tuple[str, ...] | None = None
    """The files in the folder, as the archive brought them, relative to it. `None` where it was opened before."""

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent


def open_model(path: Path, scratch: Path, limits: Limits | None = None) -> Opened:
    """The files of the model at `path`, unpacked under `scratch` where it is a zip; a folder is taken as opened before.

    Raises `ModelWrongType` naming what the file is, and the `Archive…` errors. Bare weights come through as a state
    dict: what they lack is said where state dicts are read.
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
