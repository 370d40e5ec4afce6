"""Whether a technique makes the same artifact again from the same input, parameters, data and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents.techniques.spec import TechniqueSpec

_GOALS = ("speedup_wanted", "latency_ms")
"""Parameters with which the artifact follows from times measured on the way."""


def is_repeatable(spec: TechniqueSpec, parameters: Mapping[str, Any]) -> bool:
    """False where time or the machine decides what is made: a training of so many minutes or with all cores, pruning
    until a model is fast enough, or layers that are left alone because their factors are slower.

    A training with a given number of steps and threads is repeatable, and so is a decomposition with given ranks, or a
    search that is given the network.
    Raises `ValueError` for parameters that `spec` refuses.
    """
    known = spec.resolve(parameters)
    timed = "minutes" in known and not known.get("steps")
    timed = timed or known.get("threads") == 0
    timed = timed or ("network" in known and not (known["network"] and known["final_steps"] and known["round_to"]))
    timed = timed or bool(known.get("timed") and not known.get("ranks"))
    return spec.repeatable and not timed and not any(known.get(goal) for goal in _GOALS)
