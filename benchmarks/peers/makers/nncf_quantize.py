"""NNCF's post-training quantization of an ONNX model. It is told if the model is a transformer, as its guide asks.

https://github.com/openvinotoolkit/nncf
"""

from __future__ import annotations

import nncf
import onnx

from benchmarks.peers.makers.job import Job, asked


def make(job: Job) -> None:
    examples = list(job.feeds())
    kind = nncf.ModelType.TRANSFORMER if job.transformer else None
    found = nncf.quantize(
        onnx.load(job.model), nncf.Dataset(examples), model_type=kind, subset_size=max(1, len(examples))
    )
    artifact = job.folder / "model.onnx"
    onnx.save(found, artifact)
    job.done(artifact, "onnx", "nncf", "onnx", "onnxruntime")


if __name__ == "__main__":
    make(asked())
