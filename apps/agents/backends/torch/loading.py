"""Opens a PyTorch model in any of its formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from apps.agents.backends.torch import pickles, stored
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.opening import Opened, open_model
from apps.agents.backends.torch.pretrained import open_folder
from apps.agents.contracts.errors.torch_models import ArchitectureMissing
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.text import TextEncoder
from apps.agents.files.sniffing import FileKind, sniff

if TYPE_CHECKING:
    from apps.agents.backends.torch.exported import ExportedProgramFile
    from apps.agents.backends.torch.scripted import ScriptFile
    from apps.agents.backends.torch.state_dict import StateDictFolder


def load_model(path: Path, scratch: Path, *, device: str = "cpu") -> TorchModel:
    """The model in the file (or opened folder) `path` on `device`, in evaluation mode. Zips are unpacked to `scratch`.

    Raises the errors of `open_model`, and the format's errors for parts that do not fit together.
    """
    return load_opened(open_model(path, scratch), device=device)


def load_opened(opened: Opened, *, device: str = "cpu") -> TorchModel:
    """The same from files that are already opened."""
    if opened.format is not Format.TRANSFORMERS:
        return _files(opened).load(device)
    folder = open_folder(opened.path)
    summary = folder.summary  # Before loading the weights, because it explains best what is wrong with them.
    return TorchModel(folder.load(device), Format.TRANSFORMERS, summary, opened.path, folder.encoder)


def summarize(opened: Opened) -> ModelSummary:
    """The model as inspection reports it. Its own code builds it, and undeclared outputs are found by a run.

    Raises `ArchitectureMissing` for bare weights, and the errors of `pickles.load_weights` for other pickles.
    """
    return open_folder(opened.path).summary if opened.format is Format.TRANSFORMERS else _files(opened).summary


def encoder_of(opened: Opened) -> TextEncoder | None:
    """The tokenizer that came with the model."""
    return open_folder(opened.path).encoder if opened.format is Format.TRANSFORMERS else None


def _files(opened: Opened) -> ExportedProgramFile | ScriptFile | StateDictFolder:
    """Imports only what the format needs: a child opens one model and should not load other libraries."""
    if opened.format is Format.TORCH_EXPORT:
        from apps.agents.backends.torch.exported import ExportedProgramFile

        return ExportedProgramFile(opened.path)
    if opened.format is Format.TORCHSCRIPT:
        from apps.agents.backends.torch.scripted import ScriptFile

        return ScriptFile(opened.path)
    if opened.path.is_dir():
        from apps.agents.backends.torch.state_dict import StateDictFolder

        return StateDictFolder(opened.path, opened.brought)
    raise _without_architecture(opened.path)


def _without_architecture(path: Path) -> ArchitectureMissing:
    """The error for bare weights. A pickle with a module or anything else is refused for that instead."""
    kind = sniff(path)
    if kind is FileKind.SAFETENSORS:
        stored.read_safetensors(path)
    else:
        pickles.load_weights(path, device=pickles.OUTLINE)
    return ArchitectureMissing(found=kind.value)
