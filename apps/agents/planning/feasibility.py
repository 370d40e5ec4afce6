"""What a plan's predictions say of the limits before anything runs: whether one candidate can hold them all.

Sizes are counted, not estimated, so a limit on the size that no prediction reaches cannot hold by arithmetic. Speeds
are predicted, so a candidate may turn out faster by the factor that the plan allows for (`ordering.SURPRISE`). A
predicted loss rules nothing out, because only measuring shows it, but it counts when the nearest point is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from apps.agents.contracts.criteria import Constraints, CountedSize, Criteria
from apps.agents.contracts.loss_limits import planned_limit
from apps.agents.contracts.phrasing import listed, number, number_of_bytes
from apps.agents.contracts.reports.slack import NOTHING_HOLDS, Foreseen
from apps.agents.contracts.state import Prediction
from apps.agents.evaluation.slack import distance, shortfall
from apps.agents.planning.ordering import SURPRISE, size_surprise


@dataclass(frozen=True)
class Point:
    """Something that a session could try, and what is predicted of it."""

    title: str
    prediction: Prediction


@dataclass(frozen=True)
class OriginalFacts:
    """What limits in absolute units are compared with; `None` where it is not known yet."""

    size_bytes: float | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class _Limit:
    """One limit as a ratio, original over candidate, that has to be reached."""

    constraint: str
    needed: float
    reached: float
    """The prediction, with what it may turn out better."""
    words: str
    within_reach: str
    """The same limit at the value that the prediction reaches."""
    value: float
    """That value, in the limit's unit, rounded so that the prediction holds it."""

    @property
    def shortfall(self) -> float:
        return shortfall(self.needed, self.reached - self.needed)


def nearest_feasible(
    points: Sequence[Point], criteria: Criteria, original: OriginalFacts = OriginalFacts()
) -> Foreseen | None:
    """The nearest of `points` if none of them can hold every limit on speed and size; `None` if one can, or there are
    no points or limits.

    The distance is that of `apps.agents.evaluation.slack`: the root of the summed squared shortfalls, each as a share
    of its limit. Pure: it needs no model, only predictions. Use it for a plan, or for any set of points with
    predictions, such as those that are left once some techniques are forbidden.
    """
    missed = [(point, _missed(point.prediction, criteria, original)) for point in points]
    if not missed or any(not limits for _, limits in missed):
        return None
    point, limits = min(missed, key=lambda item: _distance(item[0].prediction, item[1], criteria.constraints))
    everywhere = set.intersection(*({one.constraint for one in limits} for _, limits in missed))
    return Foreseen(
        title=point.title,
        distance=round(_distance(point.prediction, limits, criteria.constraints), 4),
        missed=tuple(one.constraint for one in limits),
        reaches={one.constraint: one.value for one in limits},
        unreachable=tuple(one.constraint for one in limits if one.constraint in everywhere),
        sentence=_in_words(point, limits),
    )


def _missed(prediction: Prediction, criteria: Criteria, original: OriginalFacts) -> list[_Limit]:
    return [one for one in _limits(prediction, criteria, original) if one.reached < one.needed]


def _limits(prediction: Prediction, criteria: Criteria, original: OriginalFacts) -> list[_Limit]:
    """Every limit on speed and size that can be compared before anything runs."""
    wanted, found = criteria.constraints, []
    speed, size = prediction.speedup, prediction.size_ratio
    smaller = size * size_surprise(criteria)
    if wanted.min_speedup is not None:
        words = f"predicted {number(speed)}× as fast, and {number(wanted.min_speedup)}× is required"
        value = _floor(speed)
        reach = f"{value:g}× as fast"
        found.append(_Limit("min_speedup", wanted.min_speedup, speed * SURPRISE, words, reach, value))
    if wanted.max_latency_ms is not None and original.latency_ms:
        latency = original.latency_ms / speed
        words = f"predicted at {number(latency)} ms, and {number(wanted.max_latency_ms)} ms is the limit"
        needed = original.latency_ms / wanted.max_latency_ms
        value = math.ceil(latency * 1000) / 1000
        found.append(_Limit("max_latency_ms", needed, speed * SURPRISE, words, f"{number(latency)} ms", value))
    if wanted.min_size_reduction is not None:
        words = f"{number(size)} times smaller, and {number(wanted.min_size_reduction)} times is required"
        value = _floor(size)
        reach = f"{value:g} times smaller"
        found.append(_Limit("min_size_reduction", wanted.min_size_reduction, smaller, words, reach, value))
    if wanted.max_size_bytes is not None and original.size_bytes and criteria.counted_size is CountedSize.FILE:
        bytes_left = number_of_bytes(original.size_bytes / size)
        words = f"{bytes_left}, and {number_of_bytes(wanted.max_size_bytes)} is the limit"
        needed = original.size_bytes / wanted.max_size_bytes
        value = math.ceil(original.size_bytes / _floor(size))
        found.append(_Limit("max_size_bytes", needed, smaller, words, bytes_left, value))
    return found


def _distance(prediction: Prediction, limits: Sequence[_Limit], wanted: Constraints) -> float:
    """The distance of a prediction from holding every limit, its predicted loss included."""
    drop = planned_limit(wanted)
    lost = [] if drop is None else [shortfall(drop, drop - prediction.metric_drop_points)]
    return distance([*(one.shortfall for one in limits), *lost])


def _in_words(point: Point, limits: Sequence[_Limit]) -> str:
    many = "limit" if len(limits) == 1 else "limits"
    return (
        f"{NOTHING_HOLDS} The nearest is {point.title}: "
        f"{'; '.join(one.words for one in limits)}. Allow other techniques, or set the {many} to "
        f"{listed([one.within_reach for one in limits])}."
    )


def _floor(ratio: float) -> float:
    """Rounded down to two decimals, so that what was predicted holds it."""
    return math.floor(ratio * 100) / 100
