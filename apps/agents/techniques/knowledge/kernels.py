"""What is known of number types before anything is measured: data with its source, not code.

A kernel's factor says how many times faster than in float32 one kind of operator runs in a number type on a class of
machine. Factors predict and order; what is handed over is decided by measuring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from apps.agents.measuring.machine_class import MachineClass


class Kind(StrEnum):
    """Operators that share a kernel family."""

    CONVOLUTION = "convolution"
    DEPTHWISE = "depthwise convolution"
    PRODUCT = "matrix product"
    TABLE = "table lookup"
    OTHER = "other"


KINDS: Mapping[str, Kind] = {
    "Conv": Kind.CONVOLUTION,
    "ConvTranspose": Kind.CONVOLUTION,
    "FusedConv": Kind.CONVOLUTION,
    "MatMul": Kind.PRODUCT,
    "FusedMatMul": Kind.PRODUCT,
    "Gemm": Kind.PRODUCT,
    "FusedGemm": Kind.PRODUCT,
    "Attention": Kind.PRODUCT,
    "LSTM": Kind.PRODUCT,
    "GRU": Kind.PRODUCT,
    "Gather": Kind.TABLE,
    # PyTorch's modules.
    "Conv1d": Kind.CONVOLUTION,
    "Conv2d": Kind.CONVOLUTION,
    "Conv3d": Kind.CONVOLUTION,
    "ConvTranspose1d": Kind.CONVOLUTION,
    "ConvTranspose2d": Kind.CONVOLUTION,
    "ConvTranspose3d": Kind.CONVOLUTION,
    "Linear": Kind.PRODUCT,
    "Conv1D": Kind.PRODUCT,
    "MultiheadAttention": Kind.PRODUCT,
    "Embedding": Kind.TABLE,
    "EmbeddingBag": Kind.TABLE,
    # TensorFlow Lite's operators.
    "CONV_2D": Kind.CONVOLUTION,
    "TRANSPOSE_CONV": Kind.CONVOLUTION,
    "DEPTHWISE_CONV_2D": Kind.DEPTHWISE,
    "FULLY_CONNECTED": Kind.PRODUCT,
    "BATCH_MATMUL": Kind.PRODUCT,
    "GATHER": Kind.TABLE,
    "EMBEDDING_LOOKUP": Kind.TABLE,
    # Keras' layers, and TensorFlow's own operators.
    "Conv2D": Kind.CONVOLUTION,
    "Conv3D": Kind.CONVOLUTION,
    "Conv2DTranspose": Kind.CONVOLUTION,
    "SeparableConv2D": Kind.CONVOLUTION,
    "DepthwiseConv2D": Kind.DEPTHWISE,
    "DepthwiseConv2dNative": Kind.DEPTHWISE,
    "Dense": Kind.PRODUCT,
    "MultiHeadAttention": Kind.PRODUCT,
    "BatchMatMulV2": Kind.PRODUCT,
    "Einsum": Kind.PRODUCT,
    "GatherV2": Kind.TABLE,
    "ResourceGather": Kind.TABLE,
}


@dataclass(frozen=True)
class KernelRule:
    """How many times faster than float32 a kind of operator runs: `(vnni, plain, dot, cuda)`."""

    technique: str
    kind: Kind
    factors: tuple[float, float, float, float]
    activation: str | None = None
    """Number type of the activations this rule is for; `None` is any."""
    weight: str | None = None
    """Number type of the weights; for weight-only blocks the bits, as text."""
    basis: str = "measured on x86 with VNNI; estimated elsewhere"

    def factor(self, machine: MachineClass) -> float:
        return self.factors[list(MachineClass).index(machine)]


_DOCUMENTED = "ONNX Runtime's documentation; not measured here"
_STATIC, _DYNAMIC, _BLOCKS = "onnx-static-int8", "onnx-dynamic-int8", "onnx-weight-only"
_SMOOTH = "onnx-smoothquant"

KERNELS: tuple[KernelRule, ...] = (
    KernelRule(_STATIC, Kind.CONVOLUTION, (4.75, 1.9, 3.0, 0.9), "uint8", "int8"),
    KernelRule(_STATIC, Kind.CONVOLUTION, (1.15, 1.0, 3.5, 0.9), "int8", "int8"),
    KernelRule(_STATIC, Kind.CONVOLUTION, (1.85, 1.7, 2.5, 0.9), "uint8", "uint8"),
    KernelRule(_STATIC, Kind.CONVOLUTION, (0.58, 0.58, 0.58, 0.5), "uint16"),
    KernelRule(_STATIC, Kind.CONVOLUTION, (0.58, 0.58, 0.58, 0.5), "int16"),
    KernelRule(_STATIC, Kind.DEPTHWISE, (0.9, 0.8, 1.2, 0.8), "uint8", "int8"),
    KernelRule(_STATIC, Kind.DEPTHWISE, (0.7, 0.7, 1.2, 0.8), "int8", "int8"),
    KernelRule(_STATIC, Kind.DEPTHWISE, (0.3, 0.3, 1.1, 0.8), "uint8", "uint8"),
    KernelRule(_STATIC, Kind.DEPTHWISE, (0.07, 0.07, 0.07, 0.07), "uint16"),
    KernelRule(_STATIC, Kind.DEPTHWISE, (0.07, 0.07, 0.07, 0.07), "int16"),
    KernelRule(_STATIC, Kind.PRODUCT, (2.7, 1.4, 2.0, 0.9), "uint8", "int8"),
    KernelRule(_STATIC, Kind.PRODUCT, (1.4, 1.2, 2.2, 0.9), "int8", "int8", _DOCUMENTED),
    KernelRule(_STATIC, Kind.PRODUCT, (2.0, 1.3, 1.8, 0.9), "uint8", "uint8", _DOCUMENTED),
    KernelRule(_STATIC, Kind.PRODUCT, (0.6, 0.6, 0.6, 0.5), "uint16"),
    KernelRule(_STATIC, Kind.PRODUCT, (0.6, 0.6, 0.6, 0.5), "int16"),
    KernelRule(_STATIC, Kind.OTHER, (1.0, 1.0, 1.0, 1.0)),
    KernelRule(_DYNAMIC, Kind.CONVOLUTION, (0.19, 0.19, 0.3, 0.2), None, "int8"),
    KernelRule(_DYNAMIC, Kind.CONVOLUTION, (0.93, 0.8, 0.8, 0.5), None, "uint8"),
    KernelRule(_DYNAMIC, Kind.DEPTHWISE, (0.05, 0.05, 0.1, 0.1), None, "int8"),
    KernelRule(_DYNAMIC, Kind.DEPTHWISE, (0.3, 0.3, 0.3, 0.2), None, "uint8"),
    KernelRule(_DYNAMIC, Kind.PRODUCT, (2.9, 1.5, 2.2, 0.8), None, "int8"),
    KernelRule(_DYNAMIC, Kind.PRODUCT, (2.5, 1.5, 1.8, 0.8), None, "uint8", _DOCUMENTED),
    KernelRule(_BLOCKS, Kind.PRODUCT, (1.26, 1.1, 1.2, 1.2), None, "4"),
    KernelRule(_BLOCKS, Kind.PRODUCT, (1.4, 1.2, 1.3, 1.1), None, "8"),
    KernelRule(_SMOOTH, Kind.PRODUCT, (2.7, 1.4, 2.0, 0.9), "uint8", "int8"),
    KernelRule(_SMOOTH, Kind.PRODUCT, (1.4, 1.2, 2.2, 0.9), "int8", "int8", _DOCUMENTED),
    KernelRule(_SMOOTH, Kind.PRODUCT, (2.0, 1.3, 1.8, 0.9), None, "uint8", _DOCUMENTED),
    *(KernelRule("onnx-float16", kind, (0.97, 0.9, 1.0, 1.8)) for kind in Kind),
)


def kernel(
    technique: str,
    kind: Kind,
    activation: str | None,
    weight: str | None,
    table: tuple[KernelRule, ...] = KERNELS,
) -> KernelRule | None:
    """The rule for one kind of operator in these number types; `None` when the technique leaves its speed as it is."""
    for rule in table:
        fits = rule.activation in (None, activation) and rule.weight in (None, weight)
        if rule.technique == technique and rule.kind is kind and fits:
            return rule
    return None


STATIC_OPERATORS = frozenset(
    {
        *("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "Add", "Mul", "Softmax", "Relu", "Clip", "LeakyRelu"),
        *("Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Split", "Pad", "Resize", "Reshape"),
        *("Transpose", "Squeeze", "Unsqueeze", "Where", "InstanceNormalization", "LayerNormalization"),
        *("BatchNormalization", "EmbedLayerNormalization", "ArgMax", "Gelu"),
    }
)
"""Types that static quantization takes when told to take every type."""
FUSED_ACTIVATIONS = frozenset(["Relu", "Clip"])
"""Part of the convolution or product before them once that is in 8 bits."""
DYNAMIC_OPERATORS = frozenset(["Conv", "MatMul", "Gemm", "Gather", "LSTM", "Attention", "EmbedLayerNormalization"])

NOISE_SCALE: Mapping[str, float] = {
    _STATIC: 1.0,
    _DYNAMIC: 0.1,
    _SMOOTH: 0.9,
    "blocks-4": 0.3,
    "blocks-8": 0.006,
    "onnx-float16": 1e-4,
}
"""Noise of a technique against that of static int8, which the sensitivity analysis measures.

On MiniLM matrix products in static int8 came out at 10 dB, in dynamic int8 at 20: a range taken anew for each input
fits it better than one for all. In blocks of 4 bits they came out at 15 dB, of 8 bits at 32.
"""
WIDE_ACTIVATION_NOISE = 0.1
"""The same for static quantization with activations in 16 bits."""
PER_TENSOR_NOISE: Mapping[str, float] = {_STATIC: 1.6, _DYNAMIC: 5.0, _SMOOTH: 1.6}
"""Noise with one scale a tensor against one a channel; with dynamic ranges that of the weights is most of it."""

SEEN_OPERATORS: Mapping[str, frozenset[str]] = {
    _DYNAMIC: frozenset({"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Gather", "Attention"}),
    _SMOOTH: frozenset({"MatMul", "FusedMatMul", "Gemm", "FusedGemm"}),
    "blocks-4": frozenset({"MatMul", "Gather"}),
}
"""Where `NOISE_SCALE` comes from: these operators of attention networks. Elsewhere noise may be more by far.

Scales that are not here are those of static int8, which the sensitivity analysis measures on the model itself, or so
small that nobody has seen them do harm.
"""
UNSEEN_NOISE = 5.0
"""How many times the noise of static int8 an operator may make that no such technique was measured on, and the metric
may suffer from: a recogniser of texts lost 9 points where a classifier would have lost none."""
UNMEASURED_NOISE = 0.3
"""Noise-to-signal ratio that an operator with weights may make whose sensitivity was not measured, such as an LSTM."""

PRIOR_NOISE: Mapping[str, float] = {
    "Softmax": 0.9,
    "Add": 0.9,
    "LayerNormalization": 0.13,
    "SkipLayerNormalization": 0.13,
    "Gelu": 0.07,
}
"""Noise-to-signal ratio of static int8 by operator type in attention networks, where the sensitivity is not known.

The mask's huge negative number makes an `Add` or a `Softmax` alone lose 33 points; norms cost 2, Gelu 1 (MiniLM).
"""

FRAGILE_SQNR_DB = 10.0
"""Below this a type that carries little of the gain stays in float from the start: about 1.6 points are at stake."""


def metric_drop_points(noise: float) -> float:
    """Loss of a share metric at this noise-to-signal ratio of the output: a rule of thumb fitted to measurements.

    A ratio of 1 (0 dB) is a collapse. Measured: 33 points at 3 dB (magika), 2 at 10 dB and none that could be told from
    chance at 13 dB (MiniLM), 1 at 17 dB (magika), none at 20 dB or more.
    """
    return float(min(60.0, 60.0 * noise**1.5))
