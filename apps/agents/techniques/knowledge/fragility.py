"""Operators that a quantization had better leave in float."""

from __future__ import annotations

from apps.agents.techniques.knowledge.kernels import KINDS
from apps.agents.techniques.knowledge.profile import GraphProfile

FRAGILE_SQNR_DB = 10.0
"""Below this a type that carries little of the gain stays in float from the start: about 1.6 points are at stake."""


def fragile_operators(profile: GraphProfile, computed: frozenset[str]) -> tuple[str, ...]:
    """Operator types among `computed` that cost more than they give in 8 bits: low SQNR, and not worth quantizing.

    No convolution, product or table is among them, whatever its noise.
    """
    threshold = 10 ** (-FRAGILE_SQNR_DB / 10)
    noises = profile.noise_by_operator
    return tuple(
        sorted(op_type for op_type in noises.keys() & computed if noises[op_type] > threshold and op_type not in KINDS)
    )


def said(fragile: tuple[str, ...]) -> str:
    """Why those stay in float."""
    return f"{', '.join(fragile)} stay in float, below {FRAGILE_SQNR_DB:g} dB of signal to quantization noise"
