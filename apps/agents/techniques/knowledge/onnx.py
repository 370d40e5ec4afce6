"""What the quantizations of ONNX models have in common, and what is known of those without a module of their own.

On MiniLM matrix products in static int8 came out at 10 dB, in dynamic int8 at 20: a range taken anew for each input
fits it better than one for all. In blocks of 4 bits they came out at 15 dB, of 8 bits at 32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge.fragility import fragile_operators
from apps.agents.techniques.knowledge.kernels import KernelRule, Kind
from apps.agents.techniques.knowledge.profile import HEAVY, GraphProfile, Node
from apps.agents.techniques.knowledge.technique import Parameters, QuantizationKnowledge, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

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
"""Types that static quantization takes when told to take every type."""
_FUSED_ACTIVATIONS = frozenset(["Relu", "Clip"])
"""Part of the convolution or product before them once that is in 8 bits: in float they would bring it back there."""


@dataclass(frozen=True)
class OnnxQuantization(QuantizationKnowledge):
    """A quantization of the prepared graph."""

    prepared_by: str | None = PREPARATION
    kernels: tuple[KernelRule, ...] = ()
    noise: float = 1.0
    """Against that of static int8, which the sensitivity analysis measures."""
    wide_activation_noise: float = 1.0
    """How many times that with activations in 16 bits."""
    per_tensor_noise: float = 1.0
    """How many times that with one scale a tensor instead of one a channel."""
    measured_on: frozenset[str] | None = None
    """Operators of attention networks that `noise` comes from, and elsewhere it may be more by far. `None` where the
    noise is measured on the model itself, or so small that nobody has seen it do harm."""

    def bytes_left(self, parameters: Parameters, node: Node) -> float:
        return min(1.0, self.float32_left(parameters) * 32 / _float_bits(node))

    def float32_left(self, parameters: Parameters) -> float:
        """Bytes of a changed weight against those of float32, scales included."""
        return 0.255

    def noise_scale(self, parameters: Parameters) -> float:
        scale = self.noise
        if str(parameters.get("activation_type", "")).endswith("16"):
            scale *= self.wide_activation_noise
        return scale * self.per_tensor_noise if parameters.get("per_channel") is False else scale

    def seen(self, parameters: Parameters, profile: GraphProfile) -> frozenset[str] | None:
        if self.measured_on is None:
            return profile.operators
        return self.measured_on if profile.attention else frozenset()

    def fragile(self, profile: GraphProfile) -> tuple[str, ...]:
        return fragile_operators(profile, STATIC_OPERATORS - _FUSED_ACTIVATIONS)


def tables_matter(profile: GraphProfile) -> bool:
    """Whether embedding tables are worth quantizing for the size of the file."""
    return profile.weight_bytes_by_operator.get("Gather", 0) > TABLE_SHARE * profile.size_bytes


def _float_bits(node: Node) -> int:
    """Of the floats among a node's weights, which may stand beside a few whole numbers; 32 for narrow weights, too."""
    return next((bits for bits in (16, 64) if 0.75 * bits <= node.bits < 1.5 * bits), 32)


class GraphOptimization(TechniqueKnowledge):
    """The float model itself, from which every quantization starts."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        reason = "The float model itself with its graph optimized: cheap, and safe since it computes the same."
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
