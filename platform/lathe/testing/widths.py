"""How wide a network must be to have a size. The weights are float32."""

from __future__ import annotations

import math

BYTES = 4
MEGABYTE = 1e6


def width_for(megabytes: float, squared: float, linear: float, constant: float = 0.0) -> int:
    """The width w at which `squared`·w² + `linear`·w + `constant` parameters take `megabytes`; at least 1.

    Raises `ValueError` if the parameters that do not depend on the width take more than that alone.
    """
    wanted = megabytes * MEGABYTE / BYTES - constant
    if wanted <= 0:
        raise ValueError(f"{megabytes} MB are too few: {constant * BYTES / MEGABYTE:.2f} MB do not depend on the width")
    root = (math.sqrt(linear * linear + 4 * squared * wanted) - linear) / (2 * squared)
    return max(1, round(root))
