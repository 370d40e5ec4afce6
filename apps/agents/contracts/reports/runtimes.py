"""How much of a gain is due to the runtime, and how much to the technique."""

from __future__ import annotations

from apps.agents.contracts.values import Value


class RuntimeBaseline(Value):
    """The float model in another runtime than the original's. Candidates made from that export are compared with it.

    Ratios are original over the float model in that runtime.
    """

    runtime: str
    """Its name, such as `LiteRT`."""
    speedup: float
    size_ratio: float
    in_turns: bool
    """Whether it was measured alternately with the original. If not, each was measured alone by its analysis."""


class Gains(Value):
    """How much of a candidate's gain is due to its runtime, and how much to its technique. Their product is the gain.

    Without a `technique`, the candidate is the float model itself in the other runtime.
    """

    runtime: str
    runtime_speedup: float
    runtime_size_ratio: float
    technique: str | None = None
    """Its label."""
    technique_speedup: float = 1.0
    technique_size_ratio: float = 1.0
    in_turns: bool = True
    """As in `RuntimeBaseline`."""
