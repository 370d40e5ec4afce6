"""Weight-only quantization of ONNX models: matrix products with weights in small blocks, activations in float."""

from __future__ import annotations

from onnx import ModelProto
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.graph import library_words
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.backends.onnx.technique import OnnxQuantization, kept_nodes, save_beside, split_gemms
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueParameters
from apps.agents.techniques.base import Applied, Assignment

_STANDARD = ("", "ai.onnx")
_SCALE_BITS = 32
"""Every block has a float32 scale."""
_TABLE_BITS = 4
_AXES = (("MatMul", 0), ("Gather", 1))
"""Blocks follow a product's inner axis, or a row of a table."""


class WeightOnlyQuantization(OnnxQuantization):
    """`MatMul` becomes `MatMulNBits` and, with `embeddings`, `Gather` becomes `GatherBlockQuantized`.

    Each block of weights is rounded to nearest on its own grid. Matrix products written as `Gemm` are split first.
    """

    @property
    def operators(self) -> frozenset[str]:
        return frozenset(("MatMul", "Gemm", "Gather"))

    def bits(self, assignment: Assignment) -> float:
        bits, block = int(assignment.parameters["bits"]), int(assignment.parameters["block_size"])
        zero_points = 0 if assignment.parameters["symmetric"] else bits
        return bits + (_SCALE_BITS + zero_points) / block

    def reached(self, assignment: Assignment) -> frozenset[str]:
        return super().reached(assignment) - (set() if assignment.parameters["embeddings"] else {"Gather"})

    def check(self, assignment: Assignment, context: Context) -> None:
        super().check(assignment, context)
        if assignment.parameters["embeddings"] and assignment.parameters["bits"] != _TABLE_BITS:
            reason = f"embeddings can only be stored in {_TABLE_BITS} bits"
            raise TechniqueParameters(reason=reason, field="embeddings")

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        chosen = assignment.parameters
        proto = self.graph()
        split_gemms(proto, kept_nodes(assignment), self.prepared.parent)
        # With weights, because blocks are made from them.
        model = files.load_proto(save_beside(proto, self.prepared, "split.onnx"))
        operators = ("MatMul", "Gather") if chosen["embeddings"] else ("MatMul",)
        with library_words(assignment.spec.label):
            quantizer = MatMulNBitsQuantizer(
                model,
                bits=int(chosen["bits"]),
                block_size=int(chosen["block_size"]),
                is_symmetric=chosen["symmetric"],
                accuracy_level=int(chosen["accuracy_level"]),
                nodes_to_exclude=kept_nodes(assignment),
                op_types_to_quantize=operators,
                quant_axes=_AXES,
            )
            quantizer.process()
        quantized: ModelProto = quantizer.model.model
        _restore_operator_set(quantized, self.graph())
        return Applied(save_artifact(quantized, assignment.out))


def _restore_operator_set(quantized: ModelProto, before: ModelProto) -> None:
    """The library labels a graph with 4-bit tables opset 21 without converting nodes. Restore the original opset."""
    version = next(entry.version for entry in before.opset_import if entry.domain in _STANDARD)
    for entry in quantized.opset_import:
        if entry.domain in _STANDARD:
            entry.version = version
