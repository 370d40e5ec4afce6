"""Knowledge about quantizations of ONNX models without calibration: dynamic int8 and blocks of weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from apps.agents.techniques.knowledge.kernels import KernelRule, Kind
from apps.agents.techniques.knowledge.onnx import DOCUMENTED, OnnxQuantization, tables_matter, weights_in_words
from apps.agents.techniques.knowledge.profile import HEAVY, GraphProfile
from apps.agents.techniques.knowledge.technique import Parameters
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

_CONVOLUTIONS = frozenset({Kind.CONVOLUTION, Kind.DEPTHWISE})
_BLOCK_NOISE = {4: 0.3, 8: 0.006}
_MEASURED_BLOCKS = frozenset({"MatMul", "Gather"})


class DynamicInt8(OnnxQuantization):
    """Weights in 8 bits, activations quantized while running."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return frozenset(["Conv", "MatMul", "Gemm", "Gather", "LSTM", "Attention", "EmbedLayerNormalization"])

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return [weights_in_words(parameters)]

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        kinds = {node.kind for node in profile.nodes}
        if not kinds & HEAVY:
            return

        def variant(weight: str, per_channel: bool, reason: str, **more: Any) -> Variant:
            parameters = {"weight_type": weight, "per_channel": per_channel, **more}
            return Variant(spec.name, parameters, reason, place=3)

        why = "8-bit weights, activations quantized while running, so no calibration"
        for weight in ("int8", "uint8"):
            yield variant(weight, True, f"{why}.")
        convolutions = sorted({node.op_type for node in profile.nodes if node.kind in _CONVOLUTIONS})
        if convolutions and Kind.PRODUCT in kinds:
            reason = f"{why}; convolutions stay in float, where dynamic kernels are slow."
            yield variant("int8", True, reason, keep_float_operators=convolutions)
        elif Kind.PRODUCT in kinds:
            yield variant("int8", False, f"{why}; one scale per tensor.")


class WeightBlocks(OnnxQuantization):
    """The weights of matrix products, and of tables if `embeddings` is set, in blocks of 4 or 8 bits."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return frozenset({"MatMul", "Gather"} if parameters.get("embeddings") else {"MatMul"})

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        blocks = f"int{parameters['bits']}, blocks of {parameters.get('block_size', 32)}"
        return [blocks, "embeddings too"] if parameters.get("embeddings") else [blocks]

    def weight_type(self, parameters: Parameters) -> str | None:
        return str(parameters.get("bits", 4))

    def float32_left(self, parameters: Parameters) -> float:
        bits, block = int(parameters.get("bits", 4)), int(parameters.get("block_size", 32))
        zero_points = 0 if parameters.get("symmetric", True) else bits / block
        return (bits + zero_points) / 32 + 1 / block

    def noise_scale(self, parameters: Parameters) -> float:
        return _BLOCK_NOISE[int(parameters.get("bits", 4))]

    def seen(self, parameters: Parameters, profile: GraphProfile) -> frozenset[str] | None:
        return _MEASURED_BLOCKS if int(parameters.get("bits", 4)) == 4 else profile.operators

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if not profile.weight_bytes_by_operator.get("MatMul"):
            return
        for bits in (8, 4):
            reason = "Only weights of matrix products in blocks; activations stay float."
            yield Variant(spec.name, {"bits": bits, "block_size": 32}, reason, place=4)
        if tables_matter(profile):
            parameters = {"bits": 4, "block_size": 32, "embeddings": True}
            reason = "Weights of matrix products and embedding tables in blocks of 4 bits: the smallest file."
            yield Variant(spec.name, parameters, reason, place=4)


DYNAMIC = DynamicInt8(
    kernels=(
        KernelRule(Kind.CONVOLUTION, (0.19, 0.19, 0.3, 0.2), None, "int8"),
        KernelRule(Kind.CONVOLUTION, (0.93, 0.8, 0.8, 0.5), None, "uint8"),
        KernelRule(Kind.DEPTHWISE, (0.05, 0.05, 0.1, 0.1), None, "int8"),
        KernelRule(Kind.DEPTHWISE, (0.3, 0.3, 0.3, 0.2), None, "uint8"),
        KernelRule(Kind.PRODUCT, (2.9, 1.5, 2.2, 0.8), None, "int8"),
        KernelRule(Kind.PRODUCT, (2.5, 1.5, 1.8, 0.8), None, "uint8", DOCUMENTED),
    ),
    noise=0.1,
    per_tensor_noise=5.0,  # With dynamic ranges, most of the noise comes from the weights.
    weights_share=0.6,  # On both samples, weights in 7 bits instead of 8 made 2.5 and 3.3 times the noise.
    multiplies_in_8_bits=True,
    measured_on=frozenset({"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Gather", "Attention"}),
)
BLOCKS = WeightBlocks(
    kernels=(
        KernelRule(Kind.PRODUCT, (1.26, 1.1, 1.2, 1.2), None, "4"),
        KernelRule(Kind.PRODUCT, (1.4, 1.2, 1.3, 1.1), None, "8"),
    )
)
