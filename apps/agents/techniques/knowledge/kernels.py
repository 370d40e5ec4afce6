"""Speeds of number types, known before anything is measured: data with its source.

A kernel's factor is how many times faster than in float32 a kind of operator runs in a number type on a class of
machine. Factors only predict and order candidates. Measurements decide which one is delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from apps.agents.measuring.machine_class import MachineClass


class Kind(StrEnum):
    """Kinds of operators that share a family of kernels."""

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
    """How many times faster than in float32 a kind of operator runs: `factors` are for `(vnni, plain, dot, cuda)`."""

    kind: Kind
    factors: tuple[float, float, float, float]
    activation: str | None = None
    """The number type of the activations to which this rule applies; `None` means any."""
    weight: str | None = None
    """The number type of the weights; for weight-only blocks, the bits as text."""
    basis: str = "measured on x86 with VNNI; estimated elsewhere"

    def factor(self, machine: MachineClass) -> float:
        return self.factors[list(MachineClass).index(machine)]


def kernel(rules: Iterable[KernelRule], kind: Kind, activation: str | None, weight: str | None) -> KernelRule | None:
    """The first of a technique's `rules` for this kind of operator and these number types.

    `None` if the technique does not change its speed.
    """
    for rule in rules:
        fits = rule.activation in (None, activation) and rule.weight in (None, weight)
        if rule.kind is kind and fits:
            return rule
    return None


PRIOR_NOISE: Mapping[str, float] = {
    "Softmax": 0.9,
    "Add": 0.9,
    "LayerNormalization": 0.13,
    "SkipLayerNormalization": 0.13,
    "Gelu": 0.07,
}
"""Noise-to-signal ratio of static int8 by operator type in attention networks, if the sensitivity is not known.

The mask's huge negative number makes a single `Add` or `Softmax` lose 33 points; norms lose 2, Gelu 1 (MiniLM).
"""
