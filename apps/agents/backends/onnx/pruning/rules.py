"""How each operator passes channels on. Other operators pass none on, and their inputs must stay whole."""

from __future__ import annotations

from collections.abc import Callable

from onnx import ModelProto, NodeProto

from apps.agents.backends.onnx.pruning.elementwise import elementwise
from apps.agents.backends.onnx.pruning.reshaping import concatenate, rearrange, reduce, resize, same_channels
from apps.agents.backends.onnx.pruning.tracing import Shapes, Trace, pin_all, start
from apps.agents.backends.onnx.pruning.weighted import convolution, normalization, product, transposed_convolution

Rule = Callable[[Trace, NodeProto], None]
_UNARY = (
    *("Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Selu", "Celu", "Gelu"),
    *("Softplus", "Softsign", "ThresholdedRelu", "Mish", "Swish", "QuickGelu", "Erf", "Sqrt", "Abs", "Neg", "Exp"),
    *("Log", "Identity", "Dropout", "Cast", "Reciprocal", "Floor", "Ceil", "Round", "Sign"),
)
_POOLING = ("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "LRN")
_POINTWISE = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow", "PRelu")
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare")
RULES: dict[str, Rule] = {
    **dict.fromkeys(_UNARY, same_channels),
    **dict.fromkeys(_POOLING, same_channels),
    **dict.fromkeys(_POINTWISE, elementwise),
    **dict.fromkeys(_REDUCTIONS, reduce),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), normalization),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"), rearrange),
    **dict.fromkeys(("Resize", "Upsample", "Pad"), resize),
    **dict.fromkeys(("MatMul", "Gemm"), product),
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Concat": concatenate,
}
"""By operator type, of the standard domain."""
_STANDARD = ("", "ai.onnx")
_HARMLESS = frozenset({"Shape", "Size"})
"""They read only a tensor's shape, so what is computed from it adapts to the remaining channels."""


def _apply(rule: Rule, trace: Trace, node: NodeProto) -> None:
    """Follow one node. If the rule fails, for example because a shape is unknown, its inputs must stay whole."""
    try:
        rule(trace, node)
    except (KeyError, IndexError, ValueError, TypeError):
        pin_all(trace, node, f"goes into {node.name} ({node.op_type}), which could not be followed")


def trace_channels(proto: ModelProto, shapes: Shapes) -> Trace:
    """The trace of a graph that contains its weights. `shapes` are those of a run, by tensor."""
    trace = start(proto, shapes)
    for node in proto.graph.node:
        rule = RULES.get(node.op_type) if node.domain in _STANDARD else None
        if rule is not None:
            _apply(rule, trace, node)
        elif node.op_type not in _HARMLESS:
            pin_all(trace, node, f"goes into {node.name}, an unknown operator ({node.op_type})")
    for output in proto.graph.output:
        trace.pin(output.name, f"goes to the output {output.name}")
    return trace
