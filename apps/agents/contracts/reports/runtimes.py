"""What of a gain is the runtime's and what the technique's."""

from __future__ import annotations

from apps.agents.contracts.values import Value


class RuntimeBaseline(Value):
    """The float model in another runtime than the original's: what candidates made of that export are held against.

    Ratios are original over the float model there.
    """

    runtime: str
    """Its name, such as `LiteRT`."""
    speedup: float
    size_ratio: float
    in_turns: bool
    """Whether it was measured beside the original, in turns; else each alone, by its analysis."""


class Gains(Value):
    """What of a candidate's gain is its runtime's and what its technique's: the products are the whole.

    Without a `technique` the candidate is the float model itself in the other runtime.
    """

    runtime: str
    runtime_speedup: float
    runtime_size_ratio: float
    technique: str | None = None
    """Its label."""
    technique_speedup: float = 1.0
    technique_size_ratio: float = 1.0
    in_turns: bool = True
    """As of `RuntimeBaseline`."""
