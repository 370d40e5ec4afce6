"""Inspects an uploaded PyTorch model: its kind, and whether its parts fit together.

The upload's own code runs here, as in every step; members who may not upload code were refused before. A program that
does not declare its outputs is run once.
"""

from __future__ import annotations

from pathlib import Path

from apps.agents.backends.torch.loading import summarize
from apps.agents.backends.torch.opening import open_model
from apps.agents.contracts.errors.models import ModelTooLarge
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files.archives import Limits

MIB = 1024 * 1024
DEFAULT_LIMIT_BYTES = 8 * 1024 * MIB


def inspect(path: Path, scratch: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> ModelSummary:
    """The summary of the uploaded model at `path`, after every check has passed. Unpacked files go under `scratch`.

    `limit_bytes` limits the upload and its unpacked size. Raises a `Model…`, `Archive…`, `Weights…`, `Pickle…` or other
    error of `apps.agents.contracts.errors`, each with its own code.
    """
    size_bytes = path.stat().st_size
    if size_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=size_bytes / MIB, limit_mib=limit_bytes / MIB)
    summary = summarize(open_model(path, scratch, Limits(total_bytes=limit_bytes)))
    # A checkpoint may declare one number repeated endlessly; each takes at least a bit.
    least_bytes = summary.parameters / 8
    if least_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=least_bytes / MIB, limit_mib=limit_bytes / MIB)
    return summary
