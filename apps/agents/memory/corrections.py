"""Turns experiences into corrections: a pure function of the experiences and of the session's fingerprint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from apps.agents.contracts.experience import LEAST_LOSS_POINTS, Experience, Fingerprint, Learned, Lesson
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.memory.fingerprints import (
    machine_similarity,
    network_similarity,
    same_conditions,
    same_machine,
    same_material,
    same_network,
)
from apps.agents.memory.kinds import is_exact
from apps.agents.memory.shrinkage import LOSS_SPREAD, SPREAD, K, Observation, Shrunk, seen_here, shrunk

ANY = ""
"""The kind of all candidates. A machine on which everything takes longer says so of every technique, also of one that
was not tried yet."""
TECHNIQUE = 2
"""How far minutes are told apart, in kinds: all candidates, and those of a technique. The tables know what its
parameters cost; between its variants, measured minutes differ by what else the machine did."""
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
    same_network: bool
    same_material: bool
    """Whether its losses are of the same model on the same examples."""
    same_conditions: bool
    """Whether it was measured on the same machine with as many threads and examples at once."""


@dataclass(frozen=True)
class Shown:
    """What one experience shows of each number: speed-up, size ratio, loss and minutes; `None` where it shows none."""

    kinds: tuple[str, ...]
    session: str
    numbers: tuple[Observation | None, ...]


def learned(experiences: Iterable[Experience], fingerprint: Fingerprint, k: float = K) -> Learned:
    """The corrections for a session with this `fingerprint`: the posterior means of `shrinkage`, one lesson per kind.

    A narrow kind starts from what its broader kind learned from its other members, so a measurement counts once. What
    was measured of exactly this candidate on this network comes last, and hardly leaves anything to the rest.
    """
    compared: dict[str, Compared] = {}
    by_kind: dict[str, list[Shown]] = {}
    for one in experiences:
        session = one.provenance.session
        if session not in compared:
            compared[session] = _compared(one.fingerprint, fingerprint)
        if compared[session].network >= LEAST_SIMILARITY:
            shown = _shown(one, compared[session])
            for kind in (ANY, *one.kinds):
                by_kind.setdefault(kind, []).append(shown)
    lessons = {kind: _lesson(kind, by_kind, compared, fingerprint, k) for kind in sorted(by_kind)}
    kept = {kind: one for kind, one in lessons.items() if one.weight or one.loss_weight or kind == ANY}
    return Learned(lessons=kept if len(kept) > 1 else {})


def _compared(one: Fingerprint, fingerprint: Fingerprint) -> Compared:
    return Compared(
        network=network_similarity(one, fingerprint),
        machine=machine_similarity(one, fingerprint),
        same_size=one.counted_size == fingerprint.counted_size,
        same_metric=one.metric == fingerprint.metric,
        here=same_machine(one, fingerprint),
        same_network=same_network(one, fingerprint),
        same_material=same_material(one, fingerprint),
        same_conditions=same_conditions(one, fingerprint),
    )


def _lesson(
    kind: str,
    by_kind: Mapping[str, Sequence[Shown]],
    compared: Mapping[str, Compared],
    fingerprint: Fingerprint,
    k: float,
) -> Lesson:
    kinds = (ANY, *by_kind[kind][0].kinds)
    way = kinds[: kinds.index(kind) + 1]
    groups = [
        [one for one in by_kind[place] if narrower is None or narrower not in one.kinds]
        for place, narrower in zip(way, (*way[1:], None), strict=True)
    ]
    speed, size, loss = (_bias(groups[1:], number, k, exact=is_exact(kind)) for number in range(3))
    minutes = _bias(groups[:TECHNIQUE], 3, k, exact=False)
    sessions = {one.session for one in by_kind[kind]}
    return Lesson(
        speedup=_factor(speed),
        size_ratio=_factor(size),
        loss=_factor(loss),
        minutes=_factor(minutes),
        weight=round(speed.weight, 3),
        loss_weight=round(loss.weight, 3),
        sessions=len(sessions),
        similar_to=_similar_to(fingerprint, [compared[session] for session in sessions]),
    )


def _bias(groups: Sequence[Iterable[Shown]], number: int, k: float, *, exact: bool) -> Shrunk:
    """The bias of one number after each group of experiences, the broadest first. In the last one, if it is `exact`,
    what was seen on this very network follows what was seen on others."""
    found = Shrunk()
    if not groups:
        return found
    *broader, narrow = [[one for shown in group if (one := shown.numbers[number]) is not None] for group in groups]
    for group in broader:
        found = shrunk(group, found, k)
    found = shrunk([one for one in narrow if not (exact and one.same)], found, k)
    return seen_here([one for one in narrow if exact and one.same], found)


def _factor(bias: Shrunk) -> float:
    return round(min(LARGEST_FACTOR, max(1 / LARGEST_FACTOR, math.exp(bias.log_ratio))), 4)


def _similar_to(fingerprint: Fingerprint, sessions: Sequence[Compared]) -> str:
    same = [one.same_network for one in sessions]
    which = "this network" if all(same) else f"similar {fingerprint.network}"
    if any(same) and not all(same):
        which = f"this network and {which}"
    return f"{which} on {'this machine' if all(one.here for one in sessions) else 'such machines'}"


# --- what a candidate showed of each number --------------------------------------------------------------------------


def _shown(one: Experience, compared: Compared) -> Shown:
    numbers = (observe(one, compared) for observe in (_speed, _size, _loss, _minutes))
    counting = (seen if seen is not None and seen.similarity * seen.reliability > 0 else None for seen in numbers)
    return Shown(one.kinds, one.provenance.session, tuple(counting))


def _speed(one: Experience, compared: Compared) -> Observation | None:
    if one.speedup is None or one.speedup.value <= 0:
        return None
    ratio = math.log(one.speedup.value / one.tables.speedup)
    return _timed(one, ratio, compared, _error(one.speedup) / one.speedup.value)


def _size(one: Experience, compared: Compared) -> Observation | None:
    if not compared.same_size:
        return None
    ratio = math.log(one.size_ratio / one.tables.size_ratio)
    return Observation(one.provenance.session, ratio, compared.network, same=compared.same_network)


def _loss(one: Experience, compared: Compared) -> Observation | None:
    """A loss that chance alone measured is as likely as a gain, so gains count as losses do: were they taken as no
    loss, or did small losses count less than large ones, chance would teach that everything loses. On the very same
    examples, the same is measured again.
    """
    if not compared.same_metric:
        return None
    expected = one.tables.metric_drop_points
    sure = max(0.0, expected, one.drop.value if one.drop.low is None else one.drop.low)
    error = 0.0 if compared.same_material else _error(one.drop) / (sure + LEAST_LOSS_POINTS)
    ratio = _log_loss(one.drop.value) - _log_loss(max(0.0, expected))
    return Observation(one.provenance.session, ratio, compared.network, error, LOSS_SPREAD, compared.same_network)


def _log_loss(points: float) -> float:
    """The logarithm of a loss with `LEAST_LOSS_POINTS` added, from that of none on; a gain has that of such a loss,
    negative."""
    return math.copysign(math.log1p(abs(points) / LEAST_LOSS_POINTS), points)


def _minutes(one: Experience, compared: Compared) -> Observation | None:
    if not one.minutes or not one.tables.minutes:
        return None
    return _timed(one, math.log(one.minutes / one.tables.minutes), compared)


def _timed(one: Experience, log_ratio: float, compared: Compared, error: float = 0.0) -> Observation:
    same = compared.same_network and compared.same_conditions
    return Observation(one.provenance.session, log_ratio, compared.network * compared.machine, error, SPREAD, same)


def _error(measured: Estimate) -> float:
    """The standard error of a measured number; 0 if it is exact, and infinite if its interval is not bounded."""
    if measured.low is None or measured.high is None:
        return 0.0
    if measured.high - measured.low >= UNKNOWN:
        return math.inf
    return (measured.high - measured.low) / 2 / STANDARD_ERRORS
