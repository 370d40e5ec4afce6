"""How an ONNX file shows that it is already quantized: by operators that work on narrow numbers."""

from __future__ import annotations

from collections.abc import Mapping

NARROW_TYPES = frozenset(
    {"int8", "uint8", "int4", "uint4", "int2", "uint2"}
    | {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1"}
)
ENOUGH_NARROW = 0.05
"""If a smaller share of the stored numbers is narrow, a `DequantizeLinear` only reads an input, such as pictures."""
_PAIRS = ("QuantizeLinear", "DequantizeLinear")
_DYNAMIC = frozenset(
    {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat"}
    | {"MatMulInteger", "ConvInteger"}
)
"""Operators that compute the ranges of activations at run time."""
_BLOCKS = frozenset({"MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized", "QMoE"})
"""Operators with weights in blocks and float activations."""
_STATIC = frozenset({"QGemm", "QAttention", "QEmbedLayerNormalization"})
_STATIC_PREFIXES = ("QLinear", "QOrdered")
"""Prefixes of operators with integer inputs and outputs, whose ranges are stored in the file."""


def is_quantized_operator(op_type: str) -> bool:
    """Whether an operator consumes or produces narrow numbers in place of real ones."""
    return op_type in _PAIRS or _way(op_type) is not None


def quantization_of(operators: Mapping[str, int], weight_dtypes: Mapping[str, int]) -> str | None:
    """How a graph was quantized, in words with its operators; `None` if nothing indicates it.

    `operators` maps types to counts; `weight_dtypes` maps element types to counts of stored numbers.
    """
    found: dict[str, list[str]] = {}
    for op_type, count in sorted(operators.items()):
        if way := _way(op_type):
            found.setdefault(way, []).append(f"{count} {op_type}")
    if pairs := _pairs(operators, weight_dtypes):
        found[pairs] = [f"{operators[name]} {name}" for name in _PAIRS if name in operators]
    return "; ".join(f"{way}: {', '.join(named)}" for way, named in found.items()) or None


def _way(op_type: str) -> str | None:
    if op_type in _DYNAMIC:
        return "dynamic"
    if op_type in _BLOCKS:
        return "weights in blocks"
    return "static" if op_type in _STATIC or op_type.startswith(_STATIC_PREFIXES) else None


def _pairs(operators: Mapping[str, int], weight_dtypes: Mapping[str, int]) -> str | None:
    """What `QuantizeLinear` and `DequantizeLinear` surround; `None` if they only read an input."""
    narrow = sum(count for dtype, count in weight_dtypes.items() if dtype in NARROW_TYPES)
    if narrow > ENOUGH_NARROW * sum(weight_dtypes.values()) and "DequantizeLinear" in operators:
        return "QDQ" if "QuantizeLinear" in operators else "weights only"
    return "QDQ around weights that are still floats" if all(name in operators for name in _PAIRS) else None
