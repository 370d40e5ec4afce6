"""What a runtime's profiler says of one run of a model, and the names under which two models are held together."""

from __future__ import annotations

from dataclasses import dataclass

CONVERSIONS = frozenset(
    (
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "Transpose"),
        *("ReorderInput", "ReorderOutput", "QUANTIZE", "DEQUANTIZE", "CAST", "TRANSPOSE", "Quantize", "Dequantize"),
    )
)
"""Operators that change the type or the layout of numbers and compute nothing, as the runtimes call them."""

CONVOLUTION, PRODUCT = "convolution", "matrix product"
_FAMILIES = {
    **dict.fromkeys(("Conv", "Conv1d", "Conv2d", "Conv3d", "ConvInteger", "CONV_2D", "DEPTHWISE_CONV_2D"), CONVOLUTION),
    **dict.fromkeys(("Conv2D", "DepthwiseConv2D", "DepthwiseConv2dNative", "SeparableConv2D"), CONVOLUTION),
    **dict.fromkeys(("MatMul", "Gemm", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), PRODUCT),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "QGemm", "Dense", "FULLY_CONNECTED", "BATCH_MATMUL"), PRODUCT),
}
_PREFIXES = ("QLinear", "Fused", "Nhwc", "Fused")
"""What ONNX Runtime puts before the name of an operator that it does in 8 bits, with its activation, or channels last;
it may put one before another."""


@dataclass(frozen=True)
class TimedOperator:
    """One operator as the runtime ran it."""

    name: str
    """Of the layer that it belongs to, under the name that the file gives it; empty where it belongs to none."""
    op_type: str
    """As the runtime calls what it ran."""
    time_ms: float
    """Median of the runs that were profiled."""
    dequantized: str = ""
    """Where it computes in float on numbers that were turned into float for it: their type, such as `uint16`."""


OperatorTimes = tuple[TimedOperator, ...]
"""Every operator of one run of a model, in the order of its graph."""


def family(op_type: str) -> str:
    """What an operator computes, whatever kernel does: `Conv`, `QLinearConv` and `ConvInteger` are `convolution`."""
    base = op_type
    for prefix in _PREFIXES:
        base = base.removeprefix(prefix)
    if "Linear" in base and base not in CONVERSIONS:
        return PRODUCT  # PyTorch's modules: Linear, Linear4bit, WQLinear_GEMM.
    return _FAMILIES.get(base, base)
