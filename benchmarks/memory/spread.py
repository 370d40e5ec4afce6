"""How much measured speed-ups differ from the tables, between sessions and between kinds: whence K and SPREAD."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, variance

from apps.agents.contracts.criteria import Criteria
from apps.agents.memory.kinds import kinds_of
from apps.agents.planning.bases import bases_of_analyses
from apps.agents.planning.prediction import predict
from apps.agents.techniques.catalogue import catalogue
from benchmarks.memory.recording import Recording


def spread(recordings: Sequence[Recording]) -> tuple[float, float]:
    """σ and τ of the logarithm of measured over expected speed-up, by the method of moments.

    σ is the standard deviation between models within a kind, τ that of the kinds' means around 0, without what σ alone
    would make of them.
    """
    by_kind: dict[str, list[float]] = {}
    for recording in recordings:
        for kind, ratio in _ratios(recording):
            by_kind.setdefault(kind, []).append(ratio)
    several = [found for found in by_kind.values() if len(found) > 1]
    within = fmean(variance(found) for found in several)
    means = fmean(fmean(found) ** 2 - within / len(found) for found in several)
    return math.sqrt(within), math.sqrt(max(0.0, means))


def _ratios(recording: Recording) -> Iterator[tuple[str, float]]:
    profile_of = bases_of_analyses(recording.analysis, (), recording.dataset.task).profile
    for one in recording.measured:
        spec, parameters = catalogue()[one.steps[-1].technique], one.steps[-1].parameters
        expected = predict(spec, parameters, profile_of(spec), Criteria()).speedup
        yield kinds_of(spec, parameters)[-1], math.log(one.report.latency.speedup.value / expected)
