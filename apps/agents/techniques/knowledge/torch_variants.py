"""The grid for PyTorch models: which weights in which number types are worth a thought, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.kernels import Kind
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.torch_rules import (
    AUTOAWQ,
    AWQ,
    BITSANDBYTES,
    GPTQ,
    HALF,
    NEAREST,
    SMOOTH,
    WEIGHT_ONLY,
)
from apps.agents.techniques.knowledge.variant import Variant

GROUPS = (128, 64, 32, 16)
FINE_GROUP, COARSE_GROUP = 32, 128
_BASELINE = "Weights rounded as they are: what AWQ and GPTQ have to beat, so it is measured beside them."
_SEARCHED = -1.0
WORTH_A_WORD = 0.05
"""A share of the bytes that embedding tables must take for the plan to say what becomes of them."""


def torch_variants(profile: GraphProfile) -> Iterator[Variant]:
    """Every variant of the techniques for PyTorch that this model suggests."""
    folder = profile.format == Format.TRANSFORMERS
    if folder and profile.generative:
        yield from _four_bits(profile)
    if folder and "Linear" in profile.operators:
        yield from _bitsandbytes()
        reason = "Weights and activations of linear layers in 8 bits, after outliers were moved into the weights."
        yield Variant(SMOOTH, {}, reason)
        reason = "Only the weights of linear layers in 8 bits, a scale for each row; activations stay float."
        yield Variant(WEIGHT_ONLY, {}, reason)
    if any(node.weight_bytes for node in profile.nodes):
        for dtype in ("bfloat16", "float16"):
            reason = f"Every weight in {dtype}: half the bytes, faster only where the hardware computes in halves."
            yield Variant(HALF, {"dtype": dtype}, reason)


def group_that_fits(profile: GraphProfile, most: int) -> int | None:
    """The largest group of at most `most` weights that divides every row; `None` where none does."""
    fitting = (group for group in GROUPS if group <= most and all(length % group == 0 for length in profile.rows))
    return next(fitting, None)


def _four_bits(profile: GraphProfile) -> Iterator[Variant]:
    """Each clever method with the plain one beside it, in groups as large."""
    groups = dict.fromkeys(group_that_fits(profile, most) for most in (FINE_GROUP, COARSE_GROUP))
    for group in groups:
        if group is None:
            continue
        parameters = {"bits": 4, "group_size": group}
        yield Variant(GPTQ, parameters, "Rounds column by column and makes up for each error in the columns after it.")
        yield Variant(AWQ, parameters, "Scales up the channels that matter to the activations before it rounds.")
        yield Variant(NEAREST, parameters, _BASELINE)
        reason = "Scales up the channels that matter to the activations, in autoawq's own format."
        yield Variant(AUTOAWQ, {"group_size": group}, reason)
    if fine := next((group for group in groups if group is not None), None):
        reason = "8-bit weights lose next to nothing, and no calibration is needed."
        yield Variant(NEAREST, {"bits": 8, "group_size": fine}, reason)


def _bitsandbytes() -> Iterator[Variant]:
    yield Variant(
        BITSANDBYTES, {"type": "nf4"}, "4-bit values spread as weights are, and their scales quantized too; no data."
    )
    yield Variant(BITSANDBYTES, {"type": "int8"}, "8 bits with outlier columns in float; no data.")


def torch_title_parts(technique: str, parameters: Mapping[str, Any]) -> list[str]:
    """What tells a variant from its siblings, for its title."""
    if technique == HALF:
        return [str(parameters["dtype"])]
    if technique == BITSANDBYTES:
        narrow = parameters["type"] != "int8" and parameters.get("double_quantization", True)
        return [str(parameters["type"]), *(["scales quantized too"] if narrow else [])]
    if technique == SMOOTH:
        return [alpha_said(parameters)]
    if technique == WEIGHT_ONLY:
        return []
    bits, group = parameters.get("bits", 4), parameters.get("group_size", FINE_GROUP)
    parts = [f"int{bits}, groups of {group}"]
    if parameters.get("symmetric"):
        parts.append("symmetric")
    return parts


def alpha_said(parameters: Mapping[str, Any]) -> str:
    alpha = float(parameters.get("alpha", _SEARCHED))
    return "alpha searched" if alpha == _SEARCHED else f"alpha {alpha:g}"


def tables_said(profile: GraphProfile, changed: set[str]) -> str | None:
    """What becomes of the token table and the output head, where they are a share of the bytes worth a word.

    `changed` holds the operator types that the variant narrows.
    """
    tables = [node for node in profile.nodes if node.kind is Kind.TABLE]
    share = sum(node.weight_bytes for node in tables) / profile.size_bytes if profile.size_bytes else 0.0
    if share < WORTH_A_WORD:
        return None
    name = "token table, which is the output head as well," if profile.tied else "embedding table"
    if changed & {node.op_type for node in tables}:
        return f"The {name} is narrowed with the rest: {share:.0%} of the bytes."
    head = "" if profile.tied or not profile.generative else " and so does the output head"
    return f"The {name} stays in float{head}: {share:.0%} of the bytes."
