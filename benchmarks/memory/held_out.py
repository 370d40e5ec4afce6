"""How well a history predicts a network that it has not seen: python -m benchmarks.memory.held_out

Each recorded network is predicted by the tables and by what every candidate measured on the other ones taught. Printed
is the root mean square of the logarithm of measured over predicted speed-up, for several k of the shrinkage. K and the
similarity of networks are chosen by this, never by how sessions on the same recordings end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.experience import Experience, Fingerprint, Learned, Provenance
from apps.agents.contracts.state import Prediction
from apps.agents.memory.corrections import learned
from apps.agents.memory.fingerprints import fingerprint_of
from apps.agents.memory.recording import experience_of
from apps.agents.planning.bases import bases_of_analyses
from apps.agents.planning.prediction import predict
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.knowledge.tables import Knowledge
from benchmarks.memory.recording import Recording, read_all

CRITERIA = Criteria()
KS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)


def error(recordings: Sequence[Recording], k: float | None) -> float:
    """The root mean square over networks and candidates; of the tables alone if `k` is `None`."""
    found = [ratio**2 for recording in recordings for ratio in _ratios(recording, recordings, k)]
    return math.sqrt(fmean(found))


def _ratios(recording: Recording, recordings: Sequence[Recording], k: float | None) -> Iterator[float]:
    others = [one for other in recordings if other is not recording for one in _experiences(other)]
    taught = Learned() if k is None else learned(others, _fingerprint(recording), k)
    for one in recording.measured:
        predicted = _predicted(recording, one.steps[-1].technique, one.steps[-1].parameters, taught)
        yield math.log(one.report.latency.speedup.value / predicted.speedup)


def _experiences(recording: Recording) -> list[Experience]:
    return [
        experience_of(
            one.steps,
            _predicted(recording, one.steps[-1].technique, one.steps[-1].parameters, Learned()),
            one.report,
            None,
            _fingerprint(recording),
            Provenance(session=recording.name),
            catalogue(),
        )
        for one in recording.measured
    ]


def _predicted(recording: Recording, technique: str, parameters: Mapping[str, Any], taught: Learned) -> Prediction:
    spec = catalogue()[technique]
    profile = bases_of_analyses(recording.analysis, (), recording.dataset.task).profile(spec)
    return predict(spec, parameters, profile, CRITERIA, Knowledge(learned=taught))


def _fingerprint(recording: Recording) -> Fingerprint:
    analysis = recording.analysis
    return fingerprint_of(analysis.model, recording.dataset.task.value, "top1", CRITERIA, analysis.machine)


def main() -> None:
    recordings = read_all()
    print(f"tables alone: {error(recordings, None):.3f}")
    for k in KS:
        print(f"k = {k:4}: {error(recordings, k):.3f}")


if __name__ == "__main__":
    main()
