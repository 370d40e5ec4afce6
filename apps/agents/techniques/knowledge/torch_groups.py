"""Knowledge about weights in groups with one scale each: plain rounding, and the clever methods that have to beat
it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.agents.techniques.knowledge import torch_losses
from apps.agents.techniques.knowledge.cost import CostRule
from apps.agents.techniques.knowledge.kernels import KernelRule, Kind
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.technique import Baseline, Parameters, Superseded
from apps.agents.techniques.knowledge.torch import AS_FAST, UNPACKED, TorchQuantization
from apps.agents.techniques.knowledge.torch_losses import Loss
from apps.agents.techniques.knowledge.variant import Variant

if TYPE_CHECKING:
    from apps.agents.techniques.spec import TechniqueSpec

GROUPS = (128, 64, 32, 16)
FINE_GROUP, COARSE_GROUP = 32, 128


def group_that_fits(profile: GraphProfile, most: int) -> int | None:
    """The largest group of at most `most` weights that divides every row; `None` if none does."""
    fitting = (group for group in GROUPS if group <= most and all(length % group == 0 for length in profile.rows))
    return next(fitting, None)


def _groups(profile: GraphProfile) -> list[int]:
    """The fine and the coarse group size that fit the model, without duplicates."""
    fitting = (group_that_fits(profile, most) for most in (FINE_GROUP, COARSE_GROUP))
    return [group for group in dict.fromkeys(fitting) if group is not None]


def _fineness(parameters: Parameters) -> Hashable:
    """The bits, the number of weights that share a scale, and the nodes that stay in float."""
    kept = tuple(sorted(str(name) for name in parameters.get("keep_float_nodes", ())))
    return int(parameters.get("bits", 4)), int(parameters.get("group_size", FINE_GROUP)), kept


BEATS_ROUNDING = Baseline(
    technique="torch-round-to-nearest",
    label="plain rounding",
    done="rounded to the nearest at the same bits",
    effort="calibration",
    alike=_fineness,
)


@dataclass(frozen=True)
class GroupedWeights(TorchQuantization):
    """4 bits in groups that fit a generative model. Methods with groups of the same size are tried one after the
    other."""

    kernels: tuple[KernelRule, ...] = AS_FAST
    share: float = 1.0
    """The loss at 4 bits, relative to rounding to the nearest in groups of the same size."""
    reason: str = ""
    turn: int = 0
    """The order of methods with equal worth: the lowest first."""

    def loss(self, parameters: Parameters) -> Loss:
        bits, group = int(parameters.get("bits", 4)), int(parameters.get("group_size", FINE_GROUP))
        return torch_losses.of_groups(bits, group, self.share)

    def stored_bits(self, parameters: Parameters, float_bits: float) -> float:
        bits, group = int(parameters.get("bits", 4)), int(parameters.get("group_size", FINE_GROUP))
        return torch_losses.bits_in_groups(bits, group, bool(parameters.get("symmetric", False)), float_bits)

    def title_parts(self, spec: TechniqueSpec, parameters: Parameters) -> list[str]:
        bits, group = parameters.get("bits", 4), parameters.get("group_size", FINE_GROUP)
        parts = [f"int{bits}, groups of {group}"]
        return [*parts, "symmetric"] if parameters.get("symmetric") else parts

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        if profile.generative:
            for number, group in enumerate(_groups(profile), start=1):
                yield Variant(spec.name, self.in_groups(group), self.reason, place=10 * number + self.turn)

    def in_groups(self, group: int) -> dict[str, Any]:
        """The parameters for 4 bits in groups of `group` weights."""
        return {"bits": 4, "group_size": group}


class RoundToNearest(GroupedWeights):
    """Without calibration; also with 8 bits."""

    def variants(self, spec: TechniqueSpec, profile: GraphProfile) -> Iterator[Variant]:
        yield from super().variants(spec, profile)
        if profile.generative and (groups := _groups(profile)):
            reason = "8-bit weights lose next to nothing, and calibration is not needed."
            yield Variant(spec.name, {"bits": 8, "group_size": groups[0]}, reason, place=30)


class AutoAwq(GroupedWeights):
    """Only 4 bits, in autoawq's own format."""

    def stored_bits(self, parameters: Parameters, float_bits: float) -> float:
        return 4 + (16 + 4) / int(parameters.get("group_size", FINE_GROUP))

    def in_groups(self, group: int) -> dict[str, Any]:
        return {"group_size": group}


_SECONDS = "{seconds} s were measured for a Llama of 5.2 million parameters"


def _measured(seconds: float) -> CostRule:
    """The cost of a method that took so many seconds for a Llama of 5.2 million parameters."""
    return CostRule(_SECONDS.format(seconds=f"{seconds:g}"), per_million_s=seconds / 5.2, passes=1.0)


GPTQ = GroupedWeights(
    cost_rule=_measured(3.5),
    share=0.28,
    baseline=BEATS_ROUNDING,
    reason="Rounds column by column and compensates for each error in the later columns.",
)
AWQ = GroupedWeights(
    cost_rule=_measured(18),
    share=0.92,
    baseline=BEATS_ROUNDING,
    turn=1,
    reason="Scales up the channels that matter most for the activations before it rounds.",
)
NEAREST = RoundToNearest(
    turn=2,
    reason="Weights rounded directly. AWQ and GPTQ have to beat it, so it is measured as well.",
)
AUTOAWQ = AutoAwq(
    kernels=(KernelRule(Kind.PRODUCT, (1.0, 1.0, 1.0, 1.5), basis=UNPACKED),),
    cost_rule=_measured(85),
    share=0.84,
    baseline=BEATS_ROUNDING,
    turn=3,
    reason="Scales up the channels that matter most for the activations, in autoawq's own format.",
    superseded=Superseded(
        by="torch-awq",
        reason="autoawq is no longer maintained, and llm-compressor does the same. It is tried only if the criteria "
        "name it, or if no worker has llm-compressor.",
    ),
)
