"""The Pareto front of the measured candidates: speed-up, size and loss of the metric, with their intervals.

A point is dominated by another one that is, as measured, at least as good in all three quantities and, in at least one
of them, better beyond the overlap of both intervals. A lead that the intervals do not show removes nothing: both points
stay. The size is exact, so a difference counts from one per cent on. The order of the measured values never runs in a
circle, so there is always a front. The original is a point as well: 1×, 1×, no loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.agents.contracts.phrasing import difference_unit
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.front import ORIGINAL_POINT, Front, FrontPoint
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.evaluation.inconclusive import speed_unknown
from apps.agents.evaluation.selection import REAL_CHANGE

_EXACTLY_ONE, _NOTHING = Estimate(value=1.0), Estimate(value=0.0)


@dataclass(frozen=True)
class Measured:
    """A candidate with its latest evaluation."""

    key: str
    title: str
    status: str
    report: EvaluationReport


def front_of(measured: Sequence[Measured]) -> Front:
    """The front of all measured candidates and the original. Empty if nothing was measured.

    A candidate is left out if its speed is not known or its gain is implausible: it cannot be compared.
    """
    if not measured:
        return Front()
    left_out = {one.key: why for one in measured if (why := _why_left_out(one.report))}
    points = [_original(measured[0].report), *(_point(one) for one in measured if one.key not in left_out)]
    found = tuple(_placed(point, points) for point in points)
    on_front = sorted((one for one in found if one.on_front), key=lambda one: (one.speedup.value, one.size_ratio))
    return Front(points=found, keys=tuple(one.key for one in on_front), left_out=left_out)


def dominates(one: FrontPoint, other: FrontPoint) -> bool:
    """Whether `one` is at least as good as `other` in everything as measured, and clearly better in something."""
    worse = (
        one.speedup.value < other.speedup.value,
        one.size_ratio < other.size_ratio,
        one.drop.value > other.drop.value,
    )
    clearly_better = (
        _low(one.speedup) > _high(other.speedup),
        one.size_ratio >= other.size_ratio * REAL_CHANGE,
        _high(one.drop) < _low(other.drop),
    )
    return not any(worse) and any(clearly_better)


def apart(one: Estimate, other: Estimate) -> bool:
    """Whether the intervals of two numbers do not overlap."""
    return _low(one) > _high(other) or _high(one) < _low(other)


def _placed(point: FrontPoint, points: Iterable[FrontPoint]) -> FrontPoint:
    better = next((one.key for one in points if dominates(one, point)), None)
    return point.model_copy(update={"dominated_by": better, "on_front": better is None})


def _low(measured: Estimate) -> float:
    return measured.value if measured.low is None else measured.low


def _high(measured: Estimate) -> float:
    return measured.value if measured.high is None else measured.high


def _why_left_out(report: EvaluationReport) -> str | None:
    if report.implausible:
        return report.implausible[0]
    if report.latency.busy:
        return speed_unknown(report.latency)
    if _high(report.latency.speedup) >= UNKNOWN:
        return "Its speed is not known, because the time allowed too few runs."
    return None


def _point(one: Measured) -> FrontPoint:
    report = one.report
    return FrontPoint(
        key=one.key,
        title=one.title,
        status=one.status,
        speedup=report.latency.speedup,
        size_ratio=report.counted_bytes.ratio,
        drop=report.primary.drop,
        unit=difference_unit(report.primary.unit),
        part=report.part.value,
        examples=report.examples,
    )


def _original(report: EvaluationReport) -> FrontPoint:
    unit = difference_unit(report.primary.unit)
    return FrontPoint(
        key=ORIGINAL_POINT, title="Original", speedup=_EXACTLY_ONE, size_ratio=1.0, drop=_NOTHING, unit=unit
    )
