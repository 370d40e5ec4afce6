"""Inspecting an uploaded TensorFlow model: what is it, does it hold together? It is never run.

The files are read and judged first. A Keras file says what goes in and comes out only through Keras, so it is then
built by Keras in its safe mode; a SavedModel says it itself and is not loaded.
"""

from __future__ import annotations

from pathlib import Path

from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.backends.tensorflow.saved_model_file import SavedModelFile
from apps.agents.contracts.errors.models import ModelTooLarge
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files.archives import Limits

MIB = 1024 * 1024
DEFAULT_LIMIT_BYTES = 8 * 1024 * MIB


def inspect(
    path: Path, scratch: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES, signature: str | None = None
) -> ModelSummary:
    """What the model blob at `path` is, once every check has passed; unpacked files go under `scratch`.

    `limit_bytes` bounds the blob and what it unpacks to; `signature` is the function of a SavedModel that is meant.
    Raises a `Model…`, `Archive…`, `Keras…` or other error of `apps.agents.contracts.errors`, each with its own code.
    """
    size_bytes = path.stat().st_size
    if size_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=size_bytes / MIB, limit_mib=limit_bytes / MIB)
    opened = open_model(path, scratch, Limits(total_bytes=limit_bytes))
    if isinstance(opened.described, SavedModelFile):
        return opened.described.summary(signature)
    from apps.agents.backends.tensorflow.loading import load_opened  # Imports TensorFlow.

    return load_opened(opened).summary
