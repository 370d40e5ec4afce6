"""What a limit on speed asks of a pruning technique that can cut until a model is fast enough.

What follows it makes the model faster as well, so it has to do only the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.agents.contracts.criteria import Criteria
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.knowledge.speed_goal import LATENCY_MS, SPEEDUP_WANTED

MARGIN = 1.1
"""How much faster than the limit the cut is asked to be: the evaluation measures again, and has to prove the limit."""


@dataclass(frozen=True)
class Pace:
    """The speed that a cut has to reach."""

    speedup: float
    """Over the form of the model that is cut."""
    parameters: Mapping[str, float]
    """Those that ask a technique for it."""


def pace_of(spec: TechniqueSpec, criteria: Criteria, profile: GraphProfile, later: float = 1.0) -> Pace | None:
    """The pace at which `spec` has to cut the form with this `profile` so that the limits on speed are met.

    `later` is the predicted speed-up of what follows. `None` if no limit is set, `spec` cannot be asked for a speed,
    what follows suffices, or a limit in milliseconds cannot be compared because no latency is known yet.
    """
    limits, known = criteria.constraints, {one.name: one for one in spec.parameters}
    if not {SPEEDUP_WANTED, LATENCY_MS} <= known.keys() or later <= 0:
        return None
    needed: dict[str, tuple[float, float]] = {}
    if limits.min_speedup is not None:
        speedup = MARGIN * limits.min_speedup / profile.lead.speedup / later
        needed[SPEEDUP_WANTED] = speedup, speedup
    if limits.max_latency_ms is not None and profile.latency_ms is not None:
        latency_ms = limits.max_latency_ms * later / MARGIN
        needed[LATENCY_MS] = profile.latency_ms / latency_ms, latency_ms
    asked = {name: _short(value) for name, (speedup, value) in needed.items() if speedup > 1}
    most = known[SPEEDUP_WANTED].maximum
    if not asked or (most is not None and asked.get(SPEEDUP_WANTED, 0.0) > most):
        return None
    return Pace(max(needed[name][0] for name in asked), asked)


def _short(value: float) -> float:
    """With three significant digits."""
    return float(f"{value:.3g}")
