"""What is known of techniques for TensorFlow Lite models before anything is measured: data with its source.

Factors are against float LiteRT with XNNPACK, one thread, measured on convolutional networks on x86 with VNNI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents.techniques.knowledge.kernels import KernelRule, Kind

LITERT_FLOAT16, LITERT_DYNAMIC, LITERT_WEIGHT_ONLY, LITERT_STATIC = (
    "litert-float16",
    "litert-dynamic",
    "litert-weight-only",
    "litert-static",
)
LITERT_QUANTIZATIONS = frozenset({LITERT_FLOAT16, LITERT_DYNAMIC, LITERT_WEIGHT_ONLY, LITERT_STATIC})

LITERT_WEIGHTED = frozenset(
    ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "EMBEDDING_LOOKUP", "GATHER")
)
"""Operators whose weights are narrowed."""
LITERT_COMPUTED = LITERT_WEIGHTED | frozenset(
    (
        *("ADD", "SUB", "MUL", "DIV", "MEAN", "SUM", "SQRT", "RSQRT", "SQUARED_DIFFERENCE", "MAXIMUM", "REDUCE_MIN"),
        *("SOFTMAX", "LOGISTIC", "TANH", "GELU", "HARD_SWISH", "RELU", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESHAPE"),
        *("TRANSPOSE", "CONCATENATION", "STRIDED_SLICE", "SLICE", "SPLIT", "PACK", "UNPACK", "PAD", "PADV2"),
        *("MIRROR_PAD", "GATHER_ND", "BROADCAST_TO", "SELECT", "SELECT_V2", "EQUAL", "NOT_EQUAL", "SPACE_TO_DEPTH"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DYNAMIC_UPDATE_SLICE"),
    )
)
"""Operators that static quantization computes in whole numbers."""

_ESTIMATED = "estimated"
LITERT_KERNELS: tuple[KernelRule, ...] = (
    KernelRule(LITERT_DYNAMIC, Kind.CONVOLUTION, (4.5, 2.0, 3.0, 1.0), None, "8"),
    KernelRule(LITERT_DYNAMIC, Kind.DEPTHWISE, (1.2, 1.1, 1.3, 1.0), None, "8", _ESTIMATED),
    KernelRule(LITERT_DYNAMIC, Kind.PRODUCT, (3.0, 1.8, 2.5, 1.0), None, "8", _ESTIMATED),
    *(KernelRule(LITERT_DYNAMIC, kind, (0.9, 0.8, 0.9, 1.0), None, "4") for kind in (Kind.CONVOLUTION, Kind.PRODUCT)),
    KernelRule(LITERT_STATIC, Kind.CONVOLUTION, (4.0, 2.0, 3.5, 1.0), "int8"),
    KernelRule(LITERT_STATIC, Kind.DEPTHWISE, (1.5, 1.3, 2.0, 1.0), "int8", None, _ESTIMATED),
    KernelRule(LITERT_STATIC, Kind.PRODUCT, (3.0, 1.8, 2.8, 1.0), "int8", None, _ESTIMATED),
    *(KernelRule(LITERT_STATIC, kind, (0.03, 0.03, 0.03, 1.0), "int16") for kind in Kind if kind is not Kind.TABLE),
)
"""What has no rule runs as fast as before: weights alone, and float16, are floats again when an operator runs."""

_NOISE: Mapping[tuple[str, str], float] = {
    (LITERT_STATIC, "int8"): 1.0,
    (LITERT_STATIC, "int16"): 0.01,
    (LITERT_DYNAMIC, "8"): 0.1,
    (LITERT_DYNAMIC, "4"): 1.0,
    (LITERT_WEIGHT_ONLY, "8"): 0.01,
    (LITERT_WEIGHT_ONLY, "4"): 0.8,
    (LITERT_FLOAT16, ""): 1e-5,
}
"""Against that of static int8 with a scale a channel, which the sensitivity analysis measures."""
_PER_TENSOR = 2.0


def litert_operators(technique: str) -> frozenset[str]:
    """The operator types that a technique changes."""
    return LITERT_COMPUTED if technique == LITERT_STATIC else LITERT_WEIGHTED


def litert_weight(technique: str, parameters: Mapping[str, Any]) -> str | None:
    """The number type of the weights as the kernel rules call it."""
    return str(parameters.get("bits", 8)) if technique in (LITERT_DYNAMIC, LITERT_WEIGHT_ONLY) else None


def litert_noise_scale(technique: str, parameters: Mapping[str, Any]) -> float:
    """Noise of the technique against that of static int8."""
    choice = parameters.get("activation_type", "int8") if technique == LITERT_STATIC else parameters.get("bits", 8)
    scale = _NOISE[technique, "" if technique == LITERT_FLOAT16 else str(choice)]
    return scale * (_PER_TENSOR if parameters.get("per_channel") is False else 1.0)


def litert_bytes_left(technique: str, parameters: Mapping[str, Any]) -> float:
    """Bytes of a changed weight against those in float32, scales included."""
    if technique == LITERT_FLOAT16:
        return 0.5
    bits = 8 if technique == LITERT_STATIC else int(parameters.get("bits", 8))
    return bits / 32 + 0.005
