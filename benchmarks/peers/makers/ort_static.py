"""ONNX Runtime's static quantization to QDQ. Options: `types` (of activations and weights), `prepared` (run its
preprocessing first); all others go to `quantize_static`.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.makers.job import Job, asked


class Examples(CalibrationDataReader):
    def __init__(self, feeds: Iterator[dict[str, Any]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def make(job: Job) -> None:
    options = dict(job.options)
    source = prepared(job) if options.pop("prepared", False) else Path(job.model)
    if types := options.pop("types", None):
        options |= zip(("activation_type", "weight_type"), (QuantType[name] for name in types), strict=True)
    artifact = job.folder / "model.onnx"
    quantize_static(source, artifact, Examples(job.feeds()), **options)
    job.done(artifact, "onnx", "onnxruntime")


def prepared(job: Job) -> Path:
    """Symbolic shapes are inferred for transformers only, for which it is meant: other models may make it fail."""
    path = job.folder / "prepared.onnx"
    quant_pre_process(job.model, path, skip_symbolic_shape=not job.transformer)
    return path


if __name__ == "__main__":
    make(asked())
