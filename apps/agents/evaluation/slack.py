"""The distance of a candidate from holding every limit, and the measured candidate with the smallest one.

A shortfall is the part of a limit by which it is missed: 0.5 for four times smaller where eight times was asked. A
limit of zero has no parts, so its shortfall is in the limit's own unit. The distance is the Euclidean norm of all
shortfalls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from apps.agents.contracts.phrasing import number
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.slack import Nearest, Slack


def shortfall(limit: float, slack: float) -> float:
    """By which share of `limit` a value misses it. `slack` is negative if it does; 0 otherwise."""
    return max(0.0, -slack) / (abs(limit) or 1.0)


def distance(shortfalls: Iterable[float]) -> float:
    return math.sqrt(sum(one * one for one in shortfalls))


def slacks_of(constraints: Sequence[ConstraintVerdict]) -> tuple[Slack, ...]:
    """Every limit with its measurement, in their order."""
    return tuple(
        Slack(
            constraint=one.constraint,
            subject=one.subject,
            limit=one.limit,
            measured=one.measured.value,
            unit=one.unit,
            slack=one.margin,
            shortfall=shortfall(one.limit, one.margin),
            status=one.status,
        )
        for one in constraints
    )


def distance_of(constraints: Sequence[ConstraintVerdict]) -> float:
    """The distance of a measured candidate from holding all `constraints`."""
    return distance(one.shortfall for one in slacks_of(constraints))


def nearest_measured(reports: Mapping[str, EvaluationReport], titles: Mapping[str, str]) -> Nearest | None:
    """The candidate of `reports` with the smallest distance; of equals, the one with the fewest limits that are not
    proven, then the fastest times smallest. `None` if nothing was measured, or there is no limit.

    `reports` has the latest evaluation of each candidate by key. A candidate whose gain is implausible is passed over.
    """
    known = {key: one for key, one in reports.items() if one.constraints and not one.implausible}
    if not known:
        return None
    key = min(known, key=lambda key: _rank(known[key]))
    report, slacks = known[key], slacks_of(known[key].constraints)
    away = distance(one.shortfall for one in slacks)
    return Nearest(
        candidate=key,
        title=titles.get(key, ""),
        part=report.part.value,
        distance=away,
        slacks=slacks,
        sentence=_in_words(key, slacks, away),
    )


def _rank(report: EvaluationReport) -> tuple[float, int, float]:
    unproven = sum(one.status is not Holds.HOLDS for one in report.constraints)
    gain = report.latency.speedup.value * report.counted_bytes.ratio
    return distance_of(report.constraints), unproven, -gain


def _in_words(key: str, slacks: Sequence[Slack], away: float) -> str:
    missed = sum(one.shortfall > 0 for one in slacks)
    limits = f"{len(slacks)} limit{'s' * (len(slacks) != 1)}"
    if not missed:
        none = "do not miss the only limit" if len(slacks) == 1 else f"miss none of the {limits}"
        return f"{key} comes nearest: its measured values {none}."
    return (
        f"{key} comes nearest: it misses {missed} of {limits}, at a distance of {number(away, 3)} (the root of the sum "
        "of the squared shortfalls, each as a share of its limit)."
    )
