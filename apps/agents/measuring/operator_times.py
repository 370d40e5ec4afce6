"""The result of a runtime's profiler for one run of a model, and the names by which two models are matched."""

from __future__ import annotations

from dataclasses import dataclass

CONVERSIONS = frozenset(
    (
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "Transpose"),
        *("ReorderInput", "ReorderOutput", "QUANTIZE", "DEQUANTIZE", "CAST", "TRANSPOSE", "Quantize", "Dequantize"),
    )
)
"""Operators that change the type or layout of numbers without computing anything, in the runtimes' spelling."""

CONVOLUTION, PRODUCT = "convolution", "matrix product"
_FAMILIES = {
    **dict.fromkeys(("Conv", "Conv1d", "Conv2d", "Conv3d", "ConvInteger", "CONV_2D", "DEPTHWISE_CONV_2D"), CONVOLUTION),
    **dict.fromkeys(("Conv2D", "DepthwiseConv2D", "DepthwiseConv2dNative", "SeparableConv2D"), CONVOLUTION),
    **dict.fromkeys(("MatMul", "Gemm", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), PRODUCT),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "QGemm", "Dense", "FULLY_CONNECTED", "BATCH_MATMUL"), PRODUCT),
}
_PREFIXES = ("QLinear", "Fused", "Nhwc", "Fused")
"""Prefixes of ONNX Runtime's operators in 8 bits, with a fused activation, or channels last. There may be several."""


@dataclass(frozen=True)
class TimedOperator:
    """One operator as the runtime ran it."""

    name: str
    """Name, in the file, of the layer that it belongs to; empty if it belongs to none."""
    op_type: str
    """The runtime's name for the operator it ran."""
    time_ms: float
    """Median over the profiled runs, in milliseconds."""
    dequantized: str = ""
    """If it computes in float on numbers that were converted for it: their original type, such as `uint16`."""


OperatorTimes = tuple[TimedOperator, ...]
"""Every operator of one run of a model, in the order of its graph."""


def family(op_type: str) -> str:
    """What an operator computes, whatever the kernel: `Conv`, `QLinearConv` and `ConvInteger` are `convolution`."""
    base = op_type
    for prefix in _PREFIXES:
        base = base.removeprefix(prefix)
    if "Linear" in base and base not in CONVERSIONS:
        return PRODUCT  # PyTorch's modules: Linear, Linear4bit, WQLinear_GEMM.
    return _FAMILIES.get(base, base)
