"""The speed asked of a pruning technique: its parameters, in words and as a number."""

from __future__ import annotations

from apps.agents.techniques.knowledge.technique import Parameters

SPEEDUP_WANTED, LATENCY_MS = "speedup_wanted", "latency_ms"


def goals_in_words(parameters: Parameters) -> list[str]:
    """One part for each goal among `parameters.SPEED_PARAMETERS` that is asked for. Older recipes have none."""
    speedup, latency_ms = (float(parameters.get(name, 0.0)) for name in (SPEEDUP_WANTED, LATENCY_MS))
    goals = [f"{speedup:g} times as fast"] if speedup else []
    return goals + ([f"at most {latency_ms:g} ms"] if latency_ms else [])


def speedup_asked(parameters: Parameters, latency_ms: float | None) -> float:
    """How many times as fast a model that takes `latency_ms` has to become; 0 if no speed is asked for, or if it is
    asked in milliseconds and the model's own are not known."""
    wanted, most_ms = (float(parameters.get(name, 0.0)) for name in (SPEEDUP_WANTED, LATENCY_MS))
    return max(wanted, latency_ms / most_ms if most_ms and latency_ms else 0.0)
