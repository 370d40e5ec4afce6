"""The speed asked of a pruning technique, in words."""

from __future__ import annotations

from apps.agents.techniques.knowledge.technique import Parameters


def goals_in_words(parameters: Parameters) -> list[str]:
    """One part for each goal among `parameters.SPEED_PARAMETERS` that is asked for. Older recipes have none."""
    speedup, latency_ms = (float(parameters.get(name, 0.0)) for name in ("speedup_wanted", "latency_ms"))
    goals = [f"{speedup:g} times as fast"] if speedup else []
    return goals + ([f"at most {latency_ms:g} ms"] if latency_ms else [])
