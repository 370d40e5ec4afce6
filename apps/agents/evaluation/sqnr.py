"""The signal-to-quantization-noise ratio (SQNR) in decibels."""

from __future__ import annotations

import math

SQNR_LIMIT_DB = 140.0
"""Results are clipped to ± this value. float32 resolves about 144 dB. A NaN counts as the worst."""


def sqnr_db(signal: float, noise: float) -> float:
    """Energies to decibels, clipped to ± `SQNR_LIMIT_DB`. Noise that is not finite gives the lowest value."""
    if not math.isfinite(noise):
        return -SQNR_LIMIT_DB
    if noise <= 0:
        return SQNR_LIMIT_DB
    if signal <= 0:
        return -SQNR_LIMIT_DB
    return max(-SQNR_LIMIT_DB, min(SQNR_LIMIT_DB, 10 * math.log10(signal / noise)))
