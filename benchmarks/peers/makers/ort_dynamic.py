"""ONNX Runtime's dynamic quantization. `options` go to `quantize_dynamic`.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

from onnxruntime.quantization import quantize_dynamic

from benchmarks.peers.makers.job import Job, asked


def make(job: Job) -> None:
    artifact = job.folder / "model.onnx"
    quantize_dynamic(job.model, artifact, **job.options)
    job.done(artifact, "onnx", "onnxruntime")


if __name__ == "__main__":
    make(asked())
