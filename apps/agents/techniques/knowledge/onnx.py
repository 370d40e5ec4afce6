"""What the quantizations of ONNX models have in common, and graph optimization and float16.

On MiniLM, matrix products measured 10 dB in static int8 and 20 dB in dynamic int8, because a range for each input fits
better than one for all. They measured 15 dB in blocks of 4 bits, and 32 dB in blocks of 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.agents.measuring.machine_class import MachineClass
from apps.agents.techniques.knowledge.fragility import fragile_operators
from apps.agents.techniques.knowledge.kernels import KernelRule, Kind
from apps.agents.techniques.knowledge.profile import HEAVY, GraphProfile, Node
from apps.agents.techniques.knowledge.technique import Parameters, QuantizationKnowledge, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

REDUCE_RANGE = "reduce_range"
"""The parameter that leaves out one of the 8 bits of a weight."""
_SEVEN_BITS = "This processor adds 16-bit sums, which saturate; weights use 7 bits."
DOCUMENTED = "ONNX Runtime's documentation; not measured here"
PREPARATION = "onnx-graph"
TABLE_SHARE = 0.05
"""A table below this share of the file is not worth quantizing for its size."""
STATIC_OPERATORS = frozenset(
    {
        *("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "Add", "Mul", "Softmax", "Relu", "Clip", "LeakyRelu"),
        *("Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Split", "Pad", "Resize", "Reshape"),
        *("Transpose", "Squeeze", "Unsqueeze", "Where", "InstanceNormalization", "LayerNormalization"),
        *("BatchNormalization", "EmbedLayerNormalization", "ArgMax", "Gelu"),
    }
)
"""The types that static quantization quantizes if every type is selected."""
_FUSED_ACTIVATIONS = frozenset(["Relu", "Clip"])
"""They are fused into an 8-bit convolution or product before them. In float, they would force that back to float."""


@dataclass(frozen=True)
class OnnxQuantization(QuantizationKnowledge):
    """A quantization of the prepared graph."""

    prepared_by: str | None = PREPARATION
    kernels: tuple[KernelRule, ...] = ()
    noise: float = 1.0
    """Noise relative to static int8, which the sensitivity analysis measures."""
    wide_activation_noise: float = 1.0
    """The factor on the noise for activations in 16 bits."""
    per_tensor_noise: float = 1.0
    """The factor on the noise for one scale per tensor instead of one per channel."""
    weights_share: float = 0.0
    """The share of the noise that comes from weights with one scale per channel."""
    multiplies_in_8_bits: bool = False
    """Whether its kernels multiply activations of 8 bits with the weights."""
    measured_on: frozenset[str] | None = None
    """The operators of attention networks on which `noise` was measured. It may be far larger elsewhere. `None` if the
    noise is measured on the model itself, or is too small to have done harm anywhere."""

    def bytes_left(self, parameters: Parameters, node: Node) -> float:
        return min(1.0, self.float32_left(parameters) * 32 / _float_bits(node))

    def float32_left(self, parameters: Parameters) -> float:
        """The bytes of a changed weight, including scales, as a share of those of float32."""
        return 0.255

    def noise_scale(self, parameters: Parameters) -> float:
        scale = self.noise
        if str(parameters.get("activation_type", "")).endswith("16"):
            scale *= self.wide_activation_noise
        per_tensor = self.per_tensor_noise if parameters.get("per_channel") is False else 1.0
        if parameters.get(REDUCE_RANGE):
            # Without one bit, steps are twice as wide, so the weights' part of the noise is four times as large.
            scale *= 1 + 3 * (1 - (1 - self.weights_share) / per_tensor)
        return scale * per_tensor

    def number_types(self, parameters: Parameters) -> tuple[str, ...] | None:
        types = super().number_types(parameters)
        return (*types, "7 bits") if types and parameters.get(REDUCE_RANGE) else types

    def overflows(self, parameters: Parameters, machine: MachineClass) -> bool:
        """x86 without VNNI multiplies by VPMADDUBSW, which adds pairs of products of uint8 and int8 in 16 bits. ONNX
        Runtime uses it for int8 activations as well, and products of two uint8 are added in 32 bits."""
        narrow = not str(parameters.get("activation_type", "")).endswith("16")
        eight_bits = self.weight_type(parameters) == "int8" and not parameters.get(REDUCE_RANGE)
        return self.multiplies_in_8_bits and machine is MachineClass.PLAIN and narrow and eight_bits

    def suited(self, parameters: Parameters, machine: MachineClass) -> tuple[Parameters, str]:
        if REDUCE_RANGE in parameters or not self.overflows(parameters, machine):
            return parameters, ""
        return {**parameters, REDUCE_RANGE: True}, _SEVEN_BITS

    def seen(self, parameters: Parameters, profile: GraphProfile) -> frozenset[str] | None:
        if self.measured_on is None:
            return profile.operators
        return self.measured_on if profile.attention else frozenset()

    def fragile(self, profile: GraphProfile) -> tuple[str, ...]:
        return fragile_operators(profile, STATIC_OPERATORS - _FUSED_ACTIVATIONS)


def weights_in_words(parameters: Parameters) -> str:
    """`weights int8`, `weights int8 in 7 bits`."""
    return f"weights {parameters['weight_type']}{' in 7 bits' if parameters.get(REDUCE_RANGE) else ''}"


def tables_matter(profile: GraphProfile) -> bool:
    """Whether embedding tables are worth quantizing for the size of the file."""
    return profile.weight_bytes_by_operator.get("Gather", 0) > TABLE_SHARE * profile.size_bytes


def _float_bits(node: Node) -> int:
    """The bits of the floats among a node's weights, which may include a few integers; 32 for narrow weights."""
    return next((bits for bits in (16, 64) if 0.75 * bits <= node.bits < 1.5 * bits), 32)


class GraphOptimization(TechniqueKnowledge):
    """The optimized float model, from which every quantization starts."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        reason = "The float model with an optimized graph: cheap, and safe because it computes the same."
        yield Variant(spec.name, {}, reason, place=1)


class Float16(OnnxQuantization):
    """Half precision."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return profile.operators

    def float32_left(self, parameters: Parameters) -> float:
        return 0.5

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if HEAVY & {node.kind for node in profile.nodes}:
            reason = "Half the bytes with almost no loss; faster only where the hardware computes in halves."
            yield Variant(spec.name, {}, reason, place=6)


GRAPH = GraphOptimization(tried_anyway=True)
FLOAT16 = Float16(
    makes_halves=True, noise=1e-4, kernels=tuple(KernelRule(kind, (0.97, 0.9, 1.0, 1.8)) for kind in Kind)
)
