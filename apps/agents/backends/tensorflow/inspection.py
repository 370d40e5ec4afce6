"""Inspects an uploaded TensorFlow model: its kind, and whether its parts fit together. The model is never run.

The files are read and checked first. A Keras file reveals its inputs and outputs only through Keras, so Keras then
builds it in its safe mode. A SavedModel declares them itself and is not loaded.
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
    """The summary of the uploaded model at `path`, after every check has passed. Unpacked files go under `scratch`.

    `limit_bytes` limits the upload and its unpacked size; `signature` selects the function of a SavedModel. Raises a
    `Model…`, `Archive…`, `Keras…` or other error of `apps.agents.contracts.errors`, each with its own code.
    """
    size_bytes = path.stat().st_size
    if size_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=size_bytes / MIB, limit_mib=limit_bytes / MIB)
    opened = open_model(path, scratch, Limits(total_bytes=limit_bytes))
    if isinstance(opened.described, SavedModelFile):
        return opened.described.summary(signature)
    from apps.agents.backends.tensorflow.loading import load_opened  # Imports TensorFlow.

    return load_opened(opened).summary
