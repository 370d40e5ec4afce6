"""Inspects an uploaded TensorFlow Lite model without running it: whether it is valid and LiteRT has its operators."""

from __future__ import annotations

from pathlib import Path

from apps.agents.backends.litert.flatbuffer import BUILTIN
from apps.agents.backends.litert.one_signature import opened
from apps.agents.backends.litert.runtime import check_loads
from apps.agents.contracts.errors.models import ModelTooLarge, OperatorsUnknown
from apps.agents.contracts.reports.model import ModelSummary

MIB = 1024 * 1024
DEFAULT_LIMIT_BYTES = 8 * 1024 * MIB
_BROUGHT_ALONG = frozenset(
    (
        *("TFLite_Detection_PostProcess", "Mfcc", "AudioSpectrogram", "NumericVerify", "Convolution2DTransposeBias"),
        *("MaxPoolingWithArgmax2D", "MaxUnpooling2D"),
    )
)
"""LiteRT's custom operators. It has none of TensorFlow's own (`Flex…`), and reports this only when a model runs."""


def inspect(
    path: Path, scratch: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES, signature: str | None = None
) -> ModelSummary:
    """The summary of the uploaded model at `path`, after every check has passed; `signature` selects the function.

    Raises `ModelTooLarge`, `LiteRtDamaged`, `ModelEmpty`, `OperatorsUnknown`, `SignatureUnknown` and
    `ModelNotLoadable`.
    """
    size_bytes = path.stat().st_size
    if size_bytes > limit_bytes:
        raise ModelTooLarge(size_mib=size_bytes / MIB, limit_mib=limit_bytes / MIB)
    file, lone = opened(path, scratch, signature)
    foreign = sorted({one.op_type for part in file.parts for one in part.operators} - BUILTIN - _BROUGHT_ALONG)
    if foreign:
        raise OperatorsUnknown(operators=", ".join(name[:80] for name in foreign[:8]))
    check_loads(file, lone)
    return file.summary()
