"""How fast models like one ran on a machine in earlier sessions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from uuid import UUID

from apps.agents.contracts.experience import Fingerprint
from apps.agents.memory.fingerprints import network_similarity, same_conditions, same_network
from apps.agents.techniques.knowledge.throughput import Throughput
from apps.optimization.models import AnalysisReport

SIZE_FACTOR = 10
"""Models with more than this many times the parameters, or as few, tell nothing: caches and fixed costs weigh
differently."""
LEAST_SIMILARITY = 0.5
MOST_TIMED = 5
"""The most similar sessions, whose latency is read."""
_LATENCY = ("step__result__latency__p50_ms", "step__result__latency__batch_size", "session__fingerprint__parameters")


def measured_throughput(known: Sequence[tuple[UUID, Fingerprint]], asked: Fingerprint) -> Throughput | None:
    """From analyses under the same conditions in the `known` sessions: of the very network if there are any, else of
    similar ones; `None` if there are neither."""
    near = [(key, one) for key, one in known if _is_about_as_large(one, asked)]
    here = [(key, one) for key, one in near if same_conditions(one, asked)]
    same = [(key, one) for key, one in here if same_network(one, asked)]
    alike = same or [(key, one) for key, one in here if network_similarity(one, asked) >= LEAST_SIMILARITY]
    nearest = sorted(alike, key=lambda pair: -network_similarity(pair[1], asked))[:MOST_TIMED]
    timed = AnalysisReport.objects.filter(session__in=[key for key, _ in nearest]).values_list(*_LATENCY)
    speeds = [1000 * parameters * batch / p50_ms for p50_ms, batch, parameters in timed if p50_ms and parameters]
    if not speeds:
        return None
    each_s = math.exp(fmean(math.log(speed) for speed in speeds))
    return Throughput(parameters_per_s=each_s, basis=_basis(len(speeds), each_s, asked.network, same=bool(same)))


def _is_about_as_large(one: Fingerprint, asked: Fingerprint) -> bool:
    return one.parameters <= SIZE_FACTOR * asked.parameters and asked.parameters <= SIZE_FACTOR * one.parameters


def _basis(sessions: int, each_s: float, network: str, *, same: bool) -> str:
    counted = f"{sessions} session{'s' * (sessions != 1)}"
    if same:
        return f"timed by {counted} on this network and machine"
    return (
        f"{each_s / 1e6:,.3g} million parameters a second, measured by {counted} on similar {network} on this machine"
    )
