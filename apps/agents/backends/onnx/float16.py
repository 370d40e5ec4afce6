"""Half precision for ONNX models."""

from __future__ import annotations

from onnx import ModelProto
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.graph import library_words
from apps.agents.backends.onnx.runtime import ONE_PROTOBUF_BYTES
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.backends.onnx.technique import OnnxQuantization, kept_nodes
from apps.agents.contracts.context import Context
from apps.agents.techniques.base import Applied, Assignment

_BITS = 16


class Float16Conversion(OnnxQuantization):
    """Weights and computation in IEEE half precision; inputs and outputs keep their types.

    Numbers beyond ±65504 are clipped to that, tiny ones to 5.96e-8. Operators without a half-precision kernel stay in
    float, between casts. Method: Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, for inference only.
    """

    @property
    def operators(self) -> frozenset[str]:
        used = {node.op_type for node in self.graph().graph.node}
        return frozenset(used - set(DEFAULT_OP_BLOCK_LIST))

    def bits(self, assignment: Assignment) -> float:
        return _BITS

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        proto = files.load_proto(self.prepared)
        # Shape inference needs a single protobuf; a larger model keeps the shapes from its preparation.
        large = files.size_bytes(self.prepared) > ONE_PROTOBUF_BYTES
        with library_words(assignment.spec.label):
            converted: ModelProto = convert_float_to_float16(
                proto,
                keep_io_types=True,
                disable_shape_infer=large,
                op_block_list=[*DEFAULT_OP_BLOCK_LIST, *assignment.parameters["keep_float_operators"]],
                node_block_list=kept_nodes(assignment),
            )
        return Applied(save_artifact(converted, assignment.out))
