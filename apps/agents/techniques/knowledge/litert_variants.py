"""The grid for TensorFlow Lite models: which number types are worth a thought, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.agents.techniques.knowledge import kernels
from apps.agents.techniques.knowledge.kernels import KINDS
from apps.agents.techniques.knowledge.litert_rules import (
    LITERT_COMPUTED,
    LITERT_DYNAMIC,
    LITERT_FLOAT16,
    LITERT_STATIC,
    LITERT_WEIGHT_ONLY,
    LITERT_WEIGHTED,
)
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.variant import Variant


def litert_variants(profile: GraphProfile) -> Iterator[Variant]:
    """Every variant of the techniques for LiteRT that this model suggests."""
    if not LITERT_WEIGHTED & profile.operators:
        return
    reason = "8-bit weights, activations quantized while running: no calibration, and fast kernels."
    yield Variant(LITERT_DYNAMIC, {"bits": 8}, reason)
    yield from _static(profile)
    reason = "4-bit weights are the smallest, and no kernel is faster with them."
    yield Variant(LITERT_DYNAMIC, {"bits": 4}, reason)
    reason = "Only the weights in 8 bits: the least loss for a quarter of the size."
    yield Variant(LITERT_WEIGHT_ONLY, {"bits": 8}, reason)
    yield Variant(LITERT_FLOAT16, {}, "Half the bytes with next to no loss; faster only where the hardware has halves.")


def _static(profile: GraphProfile) -> Iterator[Variant]:
    fragile = fragile_operators(profile)
    why = "8-bit weights and activations, ranges measured on calibration data"
    if fragile:
        told = (
            f"{', '.join(fragile)} stay in float, below {kernels.FRAGILE_SQNR_DB:g} dB of signal to quantization noise"
        )
        parameters = {"activation_type": "int8", "keep_float_operators": list(fragile)}
        yield Variant(LITERT_STATIC, parameters, f"{why}; {told}.")
    yield Variant(LITERT_STATIC, {"activation_type": "int8"}, f"{why}, of every operator that can take them.")
    reason = "Activations in 16 bits lose next to nothing, but no kernel is fast with them."
    yield Variant(LITERT_STATIC, {"activation_type": "int16"}, reason)


def fragile_operators(profile: GraphProfile) -> tuple[str, ...]:
    """Operator types that cost more than they give in 8 bits: low SQNR, and no convolution, product or table."""
    threshold = 10 ** (-kernels.FRAGILE_SQNR_DB / 10)
    noises = profile.noise_by_operator
    return tuple(sorted(op for op in noises.keys() & LITERT_COMPUTED if noises[op] > threshold and op not in KINDS))


def litert_title_parts(technique: str, parameters: Mapping[str, Any]) -> list[str]:
    """What tells a variant from its siblings, for its title."""
    if technique == LITERT_FLOAT16:
        return []
    if technique == LITERT_STATIC:
        whole = ", inputs and outputs too" if parameters.get("io_type") == "integer" else ""
        return [f"activations {parameters['activation_type']}, weights int8{whole}"]
    return [f"weights int{parameters.get('bits', 8)}"]
