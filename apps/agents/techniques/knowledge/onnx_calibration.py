"""Knowledge about calibration alone: when channels are worth equalizing, and what careful rounding to few bits wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.kernels import KernelRule, Kind
from apps.agents.techniques.knowledge.onnx import OnnxQuantization
from apps.agents.techniques.knowledge.profile import HEAVY, GraphProfile, Node
from apps.agents.techniques.knowledge.technique import Outlook, Parameters, TechniqueKnowledge
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

UNEVEN = 15.0
"""From this spread on, the channels of a layer are worth equalizing: the range of a large output channel over that of a
small one. In the samples it is at most 4.5; spread by hand by factors of 0.1 to 10, it is 35 to 200."""
CALM = 1e-3
"""The noise of an equalized layer in 8 bits, as layers of the samples have it (30 dB)."""
LOW_BITS, STATIC, BLOCKS = "onnx-low-bits", "onnx-static-int8", "onnx-weight-only"
_CONVOLUTIONS = frozenset({Kind.CONVOLUTION, Kind.DEPTHWISE})
_NOISE = {4: 3.0, 3: 20.0}
"""Of weights rounded to nearest with corrected biases, relative to static int8."""
_LEFT = 0.25
"""The share of that noise that careful rounding leaves."""
_BLOCK = 32


@dataclass(frozen=True)
class _Preparing(TechniqueKnowledge):
    """Gains nothing by itself, so it is only tried with what follows."""

    @property
    def predicts(self) -> bool:
        return True

    def outlook(self, parameters: Parameters, profile: GraphProfile) -> Outlook:
        return Outlook(1.0, 1.0, 0.0, 0.0, "It leaves number types as they are")


class Equalization(_Preparing):
    """Of networks whose analysis shows channels with ranges far apart."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if not profile.attention and (uneven := [node for node in profile.nodes if _is_uneven(node)]):
            widest = max(node.spread or 0.0 for node in uneven)
            reason = (
                f"The ranges of channels are far apart in {len(uneven)} layers (up to {widest:.0f} times), which costs "
                "8 bits accuracy; equalized, they suit one grid."
            )
            yield Variant(spec.name, {}, reason, place=2)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        bits = parameters.get("corrected_bits")
        return [f"biases corrected for {bits} bits"] if bits else []

    def profile_after(self, parameters: Parameters, profile: GraphProfile) -> GraphProfile:
        """Layers with like ranges: those far apart make as little noise as others."""
        uneven = {node.name for node in profile.nodes if _is_uneven(node)}
        if not uneven:
            return profile
        nodes = tuple(
            replace(node, noise=min(node.noise, CALM), spread=1.0) if node.name in uneven and node.noise else node
            for node in profile.nodes
        )
        shares = {
            op_type: _after(nodes, op_type) / before
            for op_type in profile.operator_noise
            if (before := _after(profile.nodes, op_type)) > 0
        }
        noise = {op_type: value * shares.get(op_type, 1.0) for op_type, value in profile.operator_noise.items()}
        return replace(profile, nodes=nodes, operator_noise=noise)

    def suits_behind(self, parameters: Parameters, later: str, chosen: Mapping[str, Any]) -> bool:
        return later == STATIC


@dataclass(frozen=True)
class CarefulRounding(_Preparing):
    """GPTQ and AdaRound: only before weights are stored in as many bits."""

    in_blocks: bool = False

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        why = "Weights rounded with care on calibration examples, not to nearest, then stored in 4 bits."
        if _has_convolutions(profile):
            yield Variant(spec.name, {"bits": 4}, why, place=4)
        elif self.in_blocks and profile.attention and profile.weight_bytes_by_operator.get("MatMul"):
            yield Variant(spec.name, {"bits": 4, "block_size": _BLOCK}, why, place=4)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        block = parameters.get("block_size")
        return [f"{parameters['bits']} bits", *([f"blocks of {block}"] if block else [])]

    def profile_after(self, parameters: Parameters, profile: GraphProfile) -> GraphProfile:
        """What rounding to nearest would lose, for the most part won back."""
        nodes = tuple(replace(node, noise=node.noise and _LEFT * node.noise) for node in profile.nodes)
        noise = {op_type: _LEFT * value for op_type, value in profile.operator_noise.items()}
        return replace(profile, nodes=nodes, operator_noise=noise)

    def suits_behind(self, parameters: Parameters, later: str, chosen: Mapping[str, Any]) -> bool:
        block = parameters.get("block_size") or 0
        if block:
            alike = chosen.get("block_size") == block and chosen.get("symmetric", True)
            return (
                later == BLOCKS and alike and chosen.get("bits") == parameters["bits"] and not chosen.get("embeddings")
            )
        return later == LOW_BITS and chosen.get("bits") == parameters["bits"]


class LowBits(OnnxQuantization):
    """Weights of convolutions and products in 4 bits, one scale per output channel."""

    def operators(self, spec: TechniqueSpec, parameters: Parameters, profile: GraphProfile) -> frozenset[str]:
        return frozenset(spec.acts_on)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        return [f"{parameters['bits']} bits"]

    def weight_type(self, parameters: Parameters) -> str | None:
        return str(parameters.get("bits", 4))

    def number_types(self, parameters: Parameters) -> tuple[str, ...] | None:
        """`None`: which of several types is fast is no question here, as all of them are computed in float."""
        return None

    def float32_left(self, parameters: Parameters) -> float:
        return 0.13

    def noise_scale(self, parameters: Parameters) -> float:
        return _NOISE[int(parameters.get("bits", 4))]

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if _has_convolutions(profile):
            reason = "Weights in 4 bits, rounded to nearest with corrected biases; activations stay float."
            yield Variant(spec.name, {"bits": 4}, reason, place=4)


def _has_convolutions(profile: GraphProfile) -> bool:
    return not profile.attention and any(node.kind in _CONVOLUTIONS and node.weight_bytes for node in profile.nodes)


def _is_uneven(node: Node) -> bool:
    return node.kind in HEAVY and node.spread is not None and node.spread >= UNEVEN


def _after(nodes: tuple[Node, ...], op_type: str) -> float:
    return sum(node.noise or 0.0 for node in nodes if node.op_type == op_type)


_CHANGES = ("pruning", "training", "distillation", "architecture search", "compression", "calibration")
_ROUNDED = tuple(
    (family, "It changes weights, which would then leave the grid they were rounded to.") for family in _CHANGES
)
_LAYER_BY_LAYER = "layers are rounded one after the other, each on a run of both networks; an estimate"
EQUALIZE = Equalization(
    hands_on_to=("quantization",),
    cost_rule=CostRule("weights are scaled and clips looked at once; an estimate", 2.0, passes=2.0),
)
ADAROUND = CarefulRounding(
    forbids=_ROUNDED,
    hands_on_to=("quantization",),
    one_at_a_time=True,
    cost_rule=CostRule(_LAYER_BY_LAYER, fixed_s=5.0, per_million_s=30.0, passes=65.0),
)
GPTQ = CarefulRounding(
    in_blocks=True,
    forbids=_ROUNDED,
    hands_on_to=("quantization",),
    cost_rule=CostRule(_LAYER_BY_LAYER, fixed_s=3.0, per_million_s=5.0, passes=65.0),
)
LOW_BITS_KNOWN = LowBits(
    kernels=(
        KernelRule(Kind.CONVOLUTION, (0.55, 0.53, 0.55, 0.8)),
        KernelRule(Kind.DEPTHWISE, (0.55, 0.53, 0.55, 0.8)),
        KernelRule(Kind.PRODUCT, (0.55, 0.53, 0.55, 0.8)),
    ),
    weights_share=1.0,
)
