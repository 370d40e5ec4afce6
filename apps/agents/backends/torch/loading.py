"""Opening a PyTorch model for work, whichever way it was shipped."""

from __future__ import annotations

from pathlib import Path

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.opening import Opened, open_model
from apps.agents.backends.torch.transformers_folder import TransformersFolder
from apps.agents.errors import ModelWrongType
from apps.agents.formats import Format
from apps.agents.reports import ModelSummary
from apps.agents.text import TextEncoder


def load_model(path: Path, scratch: Path, *, device: str = "cpu") -> TorchModel:
    """The model in the file (or opened folder) `path` on `device`, in evaluation mode; zips are unpacked to `scratch`.

    Raises the errors of `open_model`, and those with which each format refuses what does not fit together.
    """
    return load_opened(open_model(path, scratch), device=device)


def load_opened(opened: Opened, *, device: str = "cpu") -> TorchModel:
    """The same from files that are opened already."""
    match opened.format:
        case Format.TRANSFORMERS:
            folder = TransformersFolder(opened.path)
            summary = folder.summary  # Before the weights are loaded: what is wrong with them is said best there.
            return TorchModel(folder.load(device), Format.TRANSFORMERS, summary, opened.path, folder.encoder)
        case _:
            raise ModelWrongType(found=opened.format, wanted="a transformers folder")


def summarize(opened: Opened) -> ModelSummary:
    """The model as inspection sees it, without loading it."""
    match opened.format:
        case Format.TRANSFORMERS:
            return TransformersFolder(opened.path).summary
        case _:
            raise ModelWrongType(found=opened.format, wanted="a transformers folder")


def encoder_of(opened: Opened) -> TextEncoder | None:
    """The tokenizer that came with the model."""
    return TransformersFolder(opened.path).encoder if opened.format is Format.TRANSFORMERS else None
