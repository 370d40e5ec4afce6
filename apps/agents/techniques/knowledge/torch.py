"""Knowledge about techniques for PyTorch models: which weights they store in which number types, and the speed.

Packed weights become floats again when they are loaded for a CPU. Factors on CUDA are estimates.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from apps.agents.techniques.knowledge import torch_losses
from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.kernels import KernelRule, Kind
from apps.agents.techniques.knowledge.profile import GraphProfile, Node
from apps.agents.techniques.knowledge.smoothing import alpha_in_words
from apps.agents.techniques.knowledge.technique import Parameters, QuantizationKnowledge
from apps.agents.techniques.knowledge.torch_losses import Loss
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

_LINEAR = "Linear"
_ESTIMATED = "estimated"
_ON_BITSANDBYTES = "bitsandbytes unpacks each layer when it runs; estimated"
UNPACKED = "packed weights become floats again when they are loaded for a CPU; estimated on CUDA"
REWRITTEN = CostRule(
    "weights are read, changed and written, as measured on a Llama of 15 million parameters", per_million_s=0.5
)
AS_FAST = (KernelRule(Kind.PRODUCT, (1.0, 1.0, 1.0, 1.0), basis=UNPACKED),)


@dataclass(frozen=True)
class TorchQuantization(QuantizationKnowledge):
    """Linear layers in fewer bits. The output head of a language model stays in float."""

    cost_rule: CostRule | None = REWRITTEN

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return frozenset({_LINEAR})

    def reaches(self, node: Node) -> bool:
        return not node.head

    @abstractmethod
    def loss(self, parameters: Parameters) -> Loss:
        """The known loss with these parameters."""

    def stored_bits(self, parameters: Parameters, float_bits: float) -> float:
        """The bits of a weight on disk, including scales. `float_bits` are those of a float of the model."""
        return 8.2

    def bytes_left(self, parameters: Parameters, node: Node) -> float:
        return min(1.0, self.stored_bits(parameters, node.bits) / node.bits)

    def noise_scale(self, parameters: Parameters) -> float:
        return self.loss(parameters).noise

    def nats(self, parameters: Parameters) -> float | None:
        return self.loss(parameters).nats

    def seen(self, parameters: Parameters, profile: GraphProfile) -> frozenset[str] | None:
        return None


class Half(TorchQuantization):
    """Every weight in half precision."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return profile.operators

    def reaches(self, node: Node) -> bool:
        return True

    @property
    def narrows_all(self) -> bool:
        return True

    def loss(self, parameters: Parameters) -> Loss:
        return torch_losses.HALF

    def stored_bits(self, parameters: Parameters, float_bits: float) -> float:
        return 16.0

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return [str(parameters["dtype"])]

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if any(node.weight_bytes for node in profile.nodes):
            for dtype in ("bfloat16", "float16"):
                reason = f"Every weight in {dtype}: half the bytes, faster only if the hardware computes in halves."
                yield Variant(spec.name, {"dtype": dtype}, reason, place=70)


class WeightOnly(TorchQuantization):
    """Only the weights in 8 bits."""

    def loss(self, parameters: Parameters) -> Loss:
        return torch_losses.EIGHT_BITS

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return []

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if _LINEAR in profile.operators:
            reason = "Only the weights of linear layers in 8 bits, a scale for each row. Activations stay in float."
            yield Variant(spec.name, {}, reason, place=60)


class SmoothQuant(TorchQuantization):
    """Weights and activations in 8 bits."""

    def loss(self, parameters: Parameters) -> Loss:
        return torch_losses.SMOOTHED

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return [alpha_in_words(parameters)]

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if _LINEAR in profile.operators:
            reason = "Weights and activations of linear layers in 8 bits, after outliers were moved into the weights."
            yield Variant(spec.name, {}, reason, place=50)


class BitsAndBytes(TorchQuantization):
    """8 bits with outlier columns in float, or 4-bit types."""

    def loss(self, parameters: Parameters) -> Loss:
        return torch_losses.BITSANDBYTES[str(parameters.get("type", "nf4"))]

    def stored_bits(self, parameters: Parameters, float_bits: float) -> float:
        double = bool(parameters.get("double_quantization", True))
        return torch_losses.bits_of_bitsandbytes(str(parameters.get("type", "nf4")), double)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        narrow = parameters["type"] != "int8" and parameters.get("double_quantization", True)
        return [str(parameters["type"]), *(["scales quantized too"] if narrow else [])]

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if _LINEAR in profile.operators:
            reason = "4-bit values with the distribution of weights, and quantized scales, without calibration data."
            yield Variant(spec.name, {"type": "nf4"}, reason, place=40)
            reason = "8 bits with outlier columns in float, without calibration data."
            yield Variant(spec.name, {"type": "int8"}, reason, place=41)


HALF = Half(
    makes_halves=True,
    kernels=(
        *(KernelRule(kind, (0.4, 0.4, 0.6, 1.8), None, "float16", _ESTIMATED) for kind in Kind),
        *(KernelRule(kind, (0.85, 0.7, 0.9, 1.8), basis=_ESTIMATED) for kind in Kind),
    ),
)
WEIGHT_ONLY = WeightOnly(kernels=(KernelRule(Kind.PRODUCT, (0.9, 0.9, 0.9, 1.1), basis=_ESTIMATED),))
SMOOTHQUANT = SmoothQuant(kernels=AS_FAST, cost_rule=replace(REWRITTEN, passes=4.0))
BITSANDBYTES = BitsAndBytes(
    kernels=(
        KernelRule(Kind.PRODUCT, (0.5, 0.5, 0.5, 0.6), None, "int8", _ON_BITSANDBYTES),
        KernelRule(Kind.PRODUCT, (0.5, 0.5, 0.5, 0.8), basis=_ON_BITSANDBYTES),
    )
)
