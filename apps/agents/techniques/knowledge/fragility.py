"""Operators that a quantization should leave in float."""

from __future__ import annotations

from apps.agents.techniques.knowledge.kernels import KINDS
from apps.agents.techniques.knowledge.profile import GraphProfile

FRAGILE_SQNR_DB = 10.0
"""An operator type below this that contributes little to the gain stays in float from the start: it would cost about
1.6 points."""


def fragile_operators(profile: GraphProfile, computed: frozenset[str]) -> tuple[str, ...]:
    """The types in `computed` that lose more in 8 bits than they gain: those with a low SQNR, sorted.

    Convolutions, products and tables are never included, whatever their noise.
    """
    threshold = 10 ** (-FRAGILE_SQNR_DB / 10)
    noises = profile.noise_by_operator
    return tuple(
        sorted(op_type for op_type in noises.keys() & computed if noises[op_type] > threshold and op_type not in KINDS)
    )


def in_words(fragile: tuple[str, ...]) -> str:
    """Why these types stay in float, as a clause."""
    return f"{', '.join(fragile)} stay in float, below {FRAGILE_SQNR_DB:g} dB of signal to quantization noise"
