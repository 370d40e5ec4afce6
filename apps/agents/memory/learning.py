"""Turns experiences into corrections: a pure function of the experiences and of the session's fingerprint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from apps.agents.contracts.experience import LEAST_LOSS_POINTS, Experience, Fingerprint, Learned, Lesson
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.memory.fingerprints import machine_similarity, network_similarity, same_machine
from apps.agents.memory.shrinkage import LOSS_SPREAD, Observation, Shrunk, shrunk

LEAST_SIMILARITY = 0.2
"""Sessions on networks less similar than this are left out."""
STANDARD_ERRORS = 1.96
"""In half an interval. At another confidence than 95 %, an error is taken a little too large or too small."""
LARGEST_FACTOR = 8.0
"""A correction is never larger than this, nor smaller than its reciprocal, so that one odd session cannot hide a
technique for good."""


@dataclass(frozen=True)
class Compared:
    """A session's similarity to the one that is planned."""

    network: float
    machine: float
    same_size: bool
    """Whether both count the same size of files."""
    same_metric: bool
    here: bool
    """Whether it was measured on the same machine."""


@dataclass(frozen=True)
class Shown:
    """What one experience shows of each number: speed-up, size ratio, loss and minutes; `None` where it shows none."""

    kinds: tuple[str, ...]
    session: str
    numbers: tuple[Observation | None, ...]


def learned(experiences: Iterable[Experience], fingerprint: Fingerprint) -> Learned:
    """The corrections for a session with this `fingerprint`: the posterior means of `shrinkage`, one lesson per kind.

    A narrow kind starts from what its broader kind learned from its other members, so a measurement counts once.
    """
    compared: dict[str, Compared] = {}
    by_kind: dict[str, list[Shown]] = {}
    for one in experiences:
        session = one.provenance.session
        if session not in compared:
            compared[session] = _compared(one.fingerprint, fingerprint)
        if compared[session].network >= LEAST_SIMILARITY:
            shown = _shown(one, compared[session])
            for kind in one.kinds:
                by_kind.setdefault(kind, []).append(shown)
    lessons = {kind: _lesson(kind, by_kind, compared, fingerprint) for kind in sorted(by_kind)}
    return Learned(lessons={kind: lesson for kind, lesson in lessons.items() if lesson.weight or lesson.loss_weight})


def _compared(one: Fingerprint, fingerprint: Fingerprint) -> Compared:
    return Compared(
        network=network_similarity(one, fingerprint),
        machine=machine_similarity(one, fingerprint),
        same_size=one.counted_size == fingerprint.counted_size,
        same_metric=one.metric == fingerprint.metric,
        here=same_machine(one, fingerprint),
    )


def _lesson(
    kind: str, by_kind: Mapping[str, Sequence[Shown]], compared: Mapping[str, Compared], fingerprint: Fingerprint
) -> Lesson:
    kinds = by_kind[kind][0].kinds
    way = kinds[: kinds.index(kind) + 1]
    groups = [
        [one for one in by_kind[place] if narrower is None or narrower not in one.kinds]
        for place, narrower in zip(way, (*way[1:], None), strict=True)
    ]
    speed, size, loss, minutes = (_bias(groups, number) for number in range(4))
    sessions = {one.session for one in by_kind[kind]}
    return Lesson(
        speedup=_factor(speed),
        size_ratio=_factor(size),
        loss=_factor(loss),
        minutes=_factor(minutes),
        weight=round(speed.weight, 3),
        loss_weight=round(loss.weight, 3),
        sessions=len(sessions),
        similar_to=_similar_to(fingerprint, all(compared[session].here for session in sessions)),
    )


def _bias(groups: Iterable[Iterable[Shown]], number: int) -> Shrunk:
    """The bias of one number after each group of experiences, the broadest first."""
    found = Shrunk()
    for group in groups:
        found = shrunk([seen for one in group if (seen := one.numbers[number]) is not None], found)
    return found


def _factor(bias: Shrunk) -> float:
    return round(min(LARGEST_FACTOR, max(1 / LARGEST_FACTOR, math.exp(bias.log_ratio))), 4)


def _similar_to(fingerprint: Fingerprint, here: bool) -> str:
    return f"similar {fingerprint.network} on {'this machine' if here else 'such machines'}"


# --- what a candidate showed of each number --------------------------------------------------------------------------


def _shown(one: Experience, compared: Compared) -> Shown:
    numbers = (observe(one, compared) for observe in (_speed, _size, _loss, _minutes))
    counting = (seen if seen is not None and seen.similarity * seen.reliability > 0 else None for seen in numbers)
    return Shown(one.kinds, one.provenance.session, tuple(counting))


def _speed(one: Experience, compared: Compared) -> Observation | None:
    if one.speedup is None or one.speedup.value <= 0:
        return None
    ratio = math.log(one.speedup.value / one.tables.speedup)
    return _observation(one, ratio, compared.network * compared.machine, _error(one.speedup) / one.speedup.value)


def _size(one: Experience, compared: Compared) -> Observation | None:
    if not compared.same_size:
        return None
    return _observation(one, math.log(one.size_ratio / one.tables.size_ratio), compared.network)


def _loss(one: Experience, compared: Compared) -> Observation | None:
    """A measured gain counts as no loss: it is chance, or it will not be repeated."""
    if not compared.same_metric:
        return None
    measured, expected = (
        max(0.0, points) + LEAST_LOSS_POINTS for points in (one.drop.value, one.tables.metric_drop_points)
    )
    error = _error(one.drop) / measured
    return Observation(one.provenance.session, math.log(measured / expected), compared.network, error, LOSS_SPREAD)


def _minutes(one: Experience, compared: Compared) -> Observation | None:
    if not one.minutes or not one.tables.minutes:
        return None
    return _observation(one, math.log(one.minutes / one.tables.minutes), compared.network * compared.machine)


def _observation(one: Experience, log_ratio: float, similarity: float, error: float = 0.0) -> Observation:
    return Observation(one.provenance.session, log_ratio, similarity, error)


def _error(measured: Estimate) -> float:
    """The standard error of a measured number; 0 if it is exact, and infinite if its interval is not bounded."""
    if measured.low is None or measured.high is None:
        return 0.0
    if measured.high - measured.low >= UNKNOWN:
        return math.inf
    return (measured.high - measured.low) / 2 / STANDARD_ERRORS
