"""Names of the techniques for ONNX models that planning's rules speak of."""

from __future__ import annotations

STATIC, DYNAMIC, BLOCKS, FLOAT16, GRAPH = (
    "onnx-static-int8",
    "onnx-dynamic-int8",
    "onnx-weight-only",
    "onnx-float16",
    "onnx-graph",
)

ONNX_SMOOTH = "onnx-smoothquant"

ONNX_QUANTIZATIONS = frozenset({STATIC, DYNAMIC, BLOCKS, FLOAT16, ONNX_SMOOTH})
"""Those that start from the prepared graph."""
