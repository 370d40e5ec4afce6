"""Knowledge about techniques for TensorFlow Lite models, before anything is measured: data with its source.

Factors are relative to float LiteRT with XNNPACK on one thread, measured on convolutional networks on x86 with VNNI.
Operators without a rule run as fast as before: narrow weights and float16 become floats again before an operator runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge import fragility
from apps.agents.techniques.knowledge.kernels import KernelRule, Kind
from apps.agents.techniques.knowledge.profile import GraphProfile, Node
from apps.agents.techniques.knowledge.technique import Parameters, QuantizationKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

WEIGHTED = frozenset(
    ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "EMBEDDING_LOOKUP", "GATHER")
)
"""The operators whose weights are narrowed."""
_COMPUTED = WEIGHTED | frozenset(
    (
        *("ADD", "SUB", "MUL", "DIV", "MEAN", "SUM", "SQRT", "RSQRT", "SQUARED_DIFFERENCE", "MAXIMUM", "REDUCE_MIN"),
        *("SOFTMAX", "LOGISTIC", "TANH", "GELU", "HARD_SWISH", "RELU", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESHAPE"),
        *("TRANSPOSE", "CONCATENATION", "STRIDED_SLICE", "SLICE", "SPLIT", "PACK", "UNPACK", "PAD", "PADV2"),
        *("MIRROR_PAD", "GATHER_ND", "BROADCAST_TO", "SELECT", "SELECT_V2", "EQUAL", "NOT_EQUAL", "SPACE_TO_DEPTH"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DYNAMIC_UPDATE_SLICE"),
    )
)
"""The operators that static quantization computes in integers."""
_ESTIMATED = "estimated"
_PER_TENSOR_NOISE = 2.0
"""How many times noisier one scale per tensor is than one per channel."""


@dataclass(frozen=True)
class LiteRtQuantization(QuantizationKnowledge):
    """Weights in `bits` bits."""

    noise: tuple[tuple[int, float], ...] = ()
    """By the bits: noise relative to static int8 with one scale per channel, which the sensitivity analysis
    measures."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return WEIGHTED

    def bits(self, parameters: Parameters) -> int:
        """The bits of a stored weight."""
        return int(parameters.get("bits", 8))

    def weight_type(self, parameters: Parameters) -> str | None:
        return str(self.bits(parameters))

    def bytes_left(self, parameters: Parameters, node: Node) -> float:
        return self.bits(parameters) / 32 + 0.005

    def noise_scale(self, parameters: Parameters) -> float:
        scale = dict(self.noise)[self.noisy_bits(parameters)]
        return scale * (_PER_TENSOR_NOISE if parameters.get("per_channel") is False else 1.0)

    def noisy_bits(self, parameters: Parameters) -> int:
        """The bits for looking up `noise`."""
        return self.bits(parameters)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return [f"weights int{self.bits(parameters)}"]


class DynamicRange(LiteRtQuantization):
    """Activations are quantized while running."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if WEIGHTED & profile.operators:
            reason = "8-bit weights, activations quantized while running: no calibration, and fast kernels."
            yield Variant(spec.name, {"bits": 8}, reason, place=1)
            reason = "4-bit weights are the smallest, but kernels are not faster with them."
            yield Variant(spec.name, {"bits": 4}, reason, place=3)


class WeightOnly(LiteRtQuantization):
    """Weights become floats again before each operator."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if WEIGHTED & profile.operators:
            reason = "Only the weights in 8 bits: a quarter of the size with the least loss."
            yield Variant(spec.name, {"bits": 8}, reason, place=4)


class StaticRange(LiteRtQuantization):
    """Activations in 8 or 16 bits with fixed ranges."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return _COMPUTED

    def bits(self, parameters: Parameters) -> int:
        return 8

    def weight_type(self, parameters: Parameters) -> str | None:
        return None

    def noisy_bits(self, parameters: Parameters) -> int:
        return int(str(parameters.get("activation_type", "int8")).removeprefix("int"))

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        whole = ", inputs and outputs too" if parameters.get("io_type") == "integer" else ""
        return [f"activations {parameters['activation_type']}, weights int8{whole}"]

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if not WEIGHTED & profile.operators:
            return
        why = "8-bit weights and activations, ranges measured on calibration data"
        if fragile := fragility.fragile_operators(profile, _COMPUTED):
            parameters = {"activation_type": "int8", "keep_float_operators": list(fragile)}
            yield Variant(spec.name, parameters, f"{why}; {fragility.in_words(fragile)}.", place=2)
        reason = f"{why}, for every operator that supports them."
        yield Variant(spec.name, {"activation_type": "int8"}, reason, place=2)
        reason = "Activations in 16 bits lose next to nothing, but no kernel is fast with them."
        yield Variant(spec.name, {"activation_type": "int16"}, reason, place=2)


class Float16(LiteRtQuantization):
    """Weights in half precision."""

    def bits(self, parameters: Parameters) -> int:
        return 16

    def weight_type(self, parameters: Parameters) -> str | None:
        return None

    def bytes_left(self, parameters: Parameters, node: Node) -> float:
        return 0.5

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return []

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if WEIGHTED & profile.operators:
            reason = "Half the bytes with next to no loss; faster only where the hardware has halves."
            yield Variant(spec.name, {}, reason, place=5)


DYNAMIC = DynamicRange(
    noise=((8, 0.1), (4, 1.0)),
    kernels=(
        KernelRule(Kind.CONVOLUTION, (4.5, 2.0, 3.0, 1.0), None, "8"),
        KernelRule(Kind.DEPTHWISE, (1.2, 1.1, 1.3, 1.0), None, "8", _ESTIMATED),
        KernelRule(Kind.PRODUCT, (3.0, 1.8, 2.5, 1.0), None, "8", _ESTIMATED),
        *(KernelRule(kind, (0.9, 0.8, 0.9, 1.0), None, "4") for kind in (Kind.CONVOLUTION, Kind.PRODUCT)),
    ),
)
WEIGHT_ONLY = WeightOnly(noise=((8, 0.01), (4, 0.8)))
STATIC = StaticRange(
    noise=((8, 1.0), (16, 0.01)),
    kernels=(
        KernelRule(Kind.CONVOLUTION, (4.0, 2.0, 3.5, 1.0), "int8"),
        KernelRule(Kind.DEPTHWISE, (1.5, 1.3, 2.0, 1.0), "int8", None, _ESTIMATED),
        KernelRule(Kind.PRODUCT, (3.0, 1.8, 2.8, 1.0), "int8", None, _ESTIMATED),
        *(KernelRule(kind, (0.03, 0.03, 0.03, 1.0), "int16") for kind in Kind if kind is not Kind.TABLE),
    ),
)
FLOAT16 = Float16(noise=((16, 1e-5),))
