"""Inspecting an uploaded PyTorch model: what is it, does it hold together?

Code that came with it runs here, as it does in every step: who may not bring any was refused before. A program that
does not say what it gives is run once.
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
    """What the model blob at `path` is, once every check has passed; unpacked files go under `scratch`.

    `limit_bytes` bounds the blob and what it unpacks to. Raises a `Model…`, `Archive…`, `Weights…`, `Pickle…` or other
    error of `apps.agents.contracts.errors`, each with its own code.
    """
    size_bytes = path.stat().st_size
    if size_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=size_bytes / MIB, limit_mib=limit_bytes / MIB)
    summary = summarize(open_model(path, scratch, Limits(total_bytes=limit_bytes)))
    # A checkpoint may say of one number that it is repeated without end; no number takes less than a bit.
    least_bytes = summary.parameters / 8
    if least_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=least_bytes / MIB, limit_mib=limit_bytes / MIB)
    return summary
