"""What every SmoothQuant has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SEARCHED = -1.0


def alpha_in_words(parameters: Mapping[str, Any]) -> str:
    """The share of the difficulty that goes into the weights, for a title."""
    alpha = float(parameters.get("alpha", _SEARCHED))
    return "alpha searched" if alpha == _SEARCHED else f"alpha {alpha:g}"
