"""Models of transformers, told from others without importing that library for them: it takes seconds."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from apps.agents.backends.torch.transformers_folder import TransformersFolder


def is_pretrained(module: torch.nn.Module) -> bool:
    """Whether `module` is a model of transformers, which then is imported already."""
    library = sys.modules.get("transformers")
    return library is not None and isinstance(module, library.PreTrainedModel)


def open_folder(path: Path, architecture: str | None = None) -> TransformersFolder:
    """The transformers folder at `path`; its own `config.json` says which `architecture` it is unless that is given."""
    from apps.agents.backends.torch.transformers_folder import TransformersFolder

    return TransformersFolder(path) if architecture is None else TransformersFolder(path, architecture=architecture)


def operators_of(module: torch.nn.Module) -> dict[str, int]:
    """Modules that compute by themselves, by type: those with weights of their own or without modules inside.

    A library's own kind of convolution or the like counts as PyTorch's, which it is made from.
    """
    own = (part for part in module.modules() if part._parameters or next(part.children(), None) is None)
    return dict(sorted(Counter(map(_kind, own)).items()))


def _kind(module: torch.nn.Module) -> str:
    kinds = (kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn.modules."))
    return next((kind.__name__ for kind in kinds if kind is not torch.nn.Module), type(module).__name__)
