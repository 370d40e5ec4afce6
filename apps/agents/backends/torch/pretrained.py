"""Recognizes models of transformers without importing that library for other models, which takes seconds."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from apps.agents.backends.torch.transformers_folder import TransformersFolder


def is_pretrained(module: torch.nn.Module) -> bool:
    """Whether `module` is a model of transformers, which has then been imported already."""
    library = sys.modules.get("transformers")
    return library is not None and isinstance(module, library.PreTrainedModel)


def open_folder(path: Path, architecture: str | None = None) -> TransformersFolder:
    """The transformers folder at `path`. Its `config.json` names its architecture unless `architecture` is given."""
    from apps.agents.backends.torch.transformers_folder import TransformersFolder

    return TransformersFolder(path) if architecture is None else TransformersFolder(path, architecture=architecture)


def operators_of(module: torch.nn.Module) -> dict[str, int]:
    """Modules that compute by themselves, by type: those with their own weights or without inner modules.

    A library's variant of a PyTorch module, such as a convolution, counts as PyTorch's.
    """
    own = (part for part in module.modules() if part._parameters or next(part.children(), None) is None)
    return dict(sorted(Counter(map(_kind, own)).items()))


def _kind(module: torch.nn.Module) -> str:
    kinds = (kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn.modules."))
    return next((kind.__name__ for kind in kinds if kind is not torch.nn.Module), type(module).__name__)
