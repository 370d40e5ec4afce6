"""ONNX Runtime's weight-only quantization of matrix products in blocks. `options` go to `MatMulNBitsQuantizer`.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#quantize-to-int4uint4
"""

from __future__ import annotations

import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from benchmarks.peers.makers.job import Job, asked


def make(job: Job) -> None:
    model = onnx.load(job.model)
    if not has_constant_products(model):
        raise SystemExit("The model has no matrix product with constant weights (MatMul).")
    quantizer = MatMulNBitsQuantizer(model, **job.options)
    quantizer.process()
    artifact = job.folder / "model.onnx"
    quantizer.model.save_model_to_file(str(artifact))
    job.done(artifact, "onnx", "onnxruntime")


def has_constant_products(model: onnx.ModelProto) -> bool:
    constants = {one.name for one in model.graph.initializer}
    return any(node.op_type == "MatMul" and node.input[1] in constants for node in model.graph.node)


if __name__ == "__main__":
    make(asked())
