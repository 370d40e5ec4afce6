"""Compares measurements with limits: *holds*, *violated* or *inconclusive*, each with a sentence. Pure functions.

A constraint holds if the whole interval lies within the limit and is violated if the whole interval lies beyond it. In
between the evidence does not decide, and the verdict states how much more is needed. An exact number always decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from apps.agents.contracts.criteria import Constraints
from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.phrasing import (
    OF_ITS_VALUE,
    POINT_UNITS,
    against,
    capital,
    difference_unit,
    disturbed_runs,
    from_to,
    interval,
    interval_said,
    number,
    number_of_bytes,
    said,
    signed,
)
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate, LatencyComparison, Pair
from apps.agents.contracts.reports.metrics import GroupComparison, MetricComparison
from apps.agents.measuring.effort import FEWEST_ROUNDS


@dataclass(frozen=True)
class MetricMeasured:
    """What the limits on the metric are compared with; `confidence` is that of the intervals."""

    primary: MetricComparison
    examples: int
    confidence: float


@dataclass(frozen=True)
class Measurements(MetricMeasured):
    """What the constraints of a session are compared with."""

    latency: LatencyComparison
    candidate_latency_ms: Estimate
    """The candidate's median run, with its interval over blocks."""
    size_bytes: Pair
    peak_memory_bytes: Pair
    groups: tuple[GroupComparison, ...] = ()
    group_metric: Metric | None = None
    """The metric that `groups` compares."""


def judge(constraints: Constraints, measured: Measurements) -> tuple[ConstraintVerdict, ...]:
    """A verdict for every constraint that has a limit, in the order of `Constraints`."""
    return tuple(_verdicts(constraints, measured))


def judge_metric(limits: Constraints, measured: MetricMeasured) -> tuple[ConstraintVerdict, ...]:
    """A verdict for every limit on the primary metric."""
    return tuple(_metric_verdicts(limits, measured))


def overall(verdicts: Iterable[ConstraintVerdict]) -> Holds:
    """Violated if any verdict is, else inconclusive if any is, else holds."""
    found = {verdict.status for verdict in verdicts}
    for status in (Holds.VIOLATED, Holds.INCONCLUSIVE):
        if status in found:
            return status
    return Holds.HOLDS


def _verdicts(limits: Constraints, measured: Measurements) -> Iterator[ConstraintVerdict]:
    yield from _metric_verdicts(limits, measured)
    if limits.max_group_drop_points is not None:
        yield group_verdict(measured, limits.max_group_drop_points)
    if limits.max_latency_ms is not None:
        yield latency_verdict(measured, limits.max_latency_ms)
    if limits.min_speedup is not None:
        yield speedup_verdict(measured, limits.min_speedup)
    if limits.max_size_bytes is not None:
        yield _exact_bytes("max_size_bytes", "the file takes", measured.size_bytes, limits.max_size_bytes)
    if limits.min_size_reduction is not None:
        yield size_reduction_verdict(measured, limits.min_size_reduction)
    if limits.max_memory_bytes is not None:
        yield _exact_bytes("max_memory_bytes", "peak memory is", measured.peak_memory_bytes, limits.max_memory_bytes)


def _metric_verdicts(limits: Constraints, measured: MetricMeasured) -> Iterator[ConstraintVerdict]:
    if limits.max_metric_drop_points is not None:
        yield drop_verdict(measured, limits.max_metric_drop_points)
    if limits.max_metric_drop_relative is not None:
        yield relative_drop_verdict(measured, limits.max_metric_drop_relative)


# --- the rule --------------------------------------------------------------------------------------------------------


def decide(measured: Estimate, limit: float, bound: Literal["at most", "at least"]) -> Holds:
    """Where the interval of `measured` lies relative to `limit`. The limit itself still holds."""
    low = measured.value if measured.low is None else measured.low
    high = measured.value if measured.high is None else measured.high
    if bound == "at least":
        low, high, limit = -high, -low, -limit
    if high <= limit:
        return Holds.HOLDS
    return Holds.VIOLATED if low > limit else Holds.INCONCLUSIVE


def more_needed(measured: Estimate, limit: float, observations: int) -> int | None:
    """How many more observations would take `limit` out of the interval, if the value stays the same.

    An interval shrinks with the square root of the observations. `None` if no number is enough: the value lies on the
    limit itself, or there is no interval.
    """
    if measured.low is None or measured.high is None:
        return None
    distance = abs(limit - measured.value)
    reach = measured.high - measured.value if limit >= measured.value else measured.value - measured.low
    if distance == 0 or not math.isfinite(reach):
        return None
    return max(1, math.ceil(observations * (reach / distance) ** 2) - observations)


# --- accuracy --------------------------------------------------------------------------------------------------------


def drop_verdict(measured: MetricMeasured, limit: float) -> ConstraintVerdict:
    """The primary metric's drop against a limit in points, or in the metric's own unit."""
    primary = measured.primary
    drop = primary.drop
    unit = difference_unit(primary.unit)
    status = decide(drop, limit, "at most")
    interval_text = interval_said(primary.change, measured.confidence, unit)
    moved = _moved(primary.change, unit, status, interval_text, _values(primary))
    sentence = f"{primary.label} {moved}, {against(status, f'the limit of {said(limit, unit)}')}."
    return ConstraintVerdict(
        constraint="max_metric_drop_points",
        limit=limit,
        measured=drop,
        unit=unit,
        status=status,
        margin=limit - drop.value,
        sentence=capital(sentence),
        to_decide=_examples_to_decide(drop, limit, unit, measured.examples) if status is Holds.INCONCLUSIVE else None,
    )


def relative_drop_verdict(measured: MetricMeasured, limit: float) -> ConstraintVerdict:
    """The drop as a share of the original's value, whose own uncertainty is small and ignored."""
    primary = measured.primary
    base = primary.original.value
    if base <= 0:
        return ConstraintVerdict(
            constraint="max_metric_drop_relative",
            limit=limit,
            measured=Estimate(value=0.0, low=-UNKNOWN, high=UNKNOWN),
            unit="of the original",
            status=Holds.INCONCLUSIVE,
            margin=0.0,
            sentence=f"The original's {primary.label} is {number(base)}, so a relative drop is undefined.",
            to_decide="No number of examples would decide: use the limit in points instead.",
        )
    drop = Estimate(
        value=primary.drop.value / base,
        low=None if primary.drop.low is None else primary.drop.low / base,
        high=None if primary.drop.high is None else primary.drop.high / base,
    )
    status = decide(drop, limit, "at most")
    percent = Estimate(
        value=drop.value * 100,
        low=None if drop.low is None else drop.low * 100,
        high=None if drop.high is None else drop.high * 100,
    )
    change = percent.negated() if primary.higher_is_better else percent
    moved = _moved(
        change, OF_ITS_VALUE, status, interval_said(change, measured.confidence, OF_ITS_VALUE), _values(primary)
    )
    sentence = f"{primary.label} {moved}, {against(status, f'the limit of {number(limit * 100)} %')}."
    return ConstraintVerdict(
        constraint="max_metric_drop_relative",
        limit=limit,
        measured=drop,
        unit="of the original",
        status=status,
        margin=limit - drop.value,
        sentence=capital(sentence),
        to_decide=_examples_to_decide(percent, limit * 100, "%", measured.examples)
        if status is Holds.INCONCLUSIVE
        else None,
    )


def group_verdict(measured: Measurements, limit: float) -> ConstraintVerdict:
    """The drop of the worst group against a limit that every group must meet.

    The intervals hold for all groups at once, so that no group fails only because many were tested. The worst group is
    the one that exceeds the limit by most or, if none exceeds it, the one whose interval reaches furthest.
    """
    unit = difference_unit(METRICS[measured.group_metric].unit) if measured.group_metric else "points"
    if not measured.groups:
        return ConstraintVerdict(
            constraint="max_group_drop_points",
            limit=limit,
            measured=Estimate(value=0.0, low=-UNKNOWN, high=UNKNOWN),
            unit=unit,
            status=Holds.INCONCLUSIVE,
            margin=0.0,
            sentence="The loss of each group is not known: the metric is not a mean over the examples of a group.",
            to_decide="No number of examples would decide: choose a metric such as accuracy or mean absolute error.",
        )
    by_status = {one: decide(one.simultaneous, limit, "at most") for one in measured.groups}
    status = next(
        (one for one in (Holds.VIOLATED, Holds.INCONCLUSIVE) if one in by_status.values()),
        Holds.HOLDS,
    )
    worst = max(
        (one for one in measured.groups if by_status[one] is status),
        key=lambda one: _bound(one.simultaneous, low=status is Holds.VIOLATED),
    )
    drop = worst.simultaneous
    spec = METRICS[measured.group_metric] if measured.group_metric else None
    change = drop.negated() if spec is None or spec.higher_is_better else drop
    interval_text = interval_said(change, measured.confidence, unit).replace("interval", "interval for all groups", 1)
    label = spec.label if spec else "metric"
    moved = _moved(change, unit, status, interval_text)
    return ConstraintVerdict(
        constraint="max_group_drop_points",
        limit=limit,
        measured=drop,
        unit=unit,
        status=status,
        margin=limit - drop.value,
        sentence=f"Of {len(measured.groups):,} groups, {worst.group} does worst: its {label} {moved} "
        f"on {worst.examples:,} examples, {against(status, f'the limit of {said(limit, unit)}')}.",
        to_decide=_group_to_decide(worst, limit, unit) if status is Holds.INCONCLUSIVE else None,
    )


def _group_to_decide(worst: GroupComparison, limit: float, unit: str) -> str:
    if worst.examples < 2:
        return f"The group {worst.group} has only one example: add more examples of it, or merge it with another group."
    return f"In the group {worst.group}: {_examples_to_decide(worst.simultaneous, limit, unit, worst.examples)}"


def _bound(drop: Estimate, *, low: bool) -> float:
    end = drop.low if low else drop.high
    return drop.value if end is None else end


def _examples_to_decide(drop: Estimate, limit: float, unit: str, examples: int) -> str:
    """How many more examples would decide, or why even an unchanged model could not be shown to hold."""
    reach = (drop.high if drop.high is not None else drop.value) - drop.value
    if limit == 0:
        return "Examples can show that a limit of 0 is violated, but never that it holds: allow a small drop."
    if reach > limit:
        needed = math.ceil(examples * (reach / limit) ** 2) - examples if math.isfinite(reach) else None
        more = f"About {needed:,} more examples are needed." if needed else "Add examples."
        return (
            f"With {examples:,} examples the interval reaches {said(reach, unit)} above the drop, more than the limit "
            f"itself: even a candidate without any drop could not be shown to hold. {more}"
        )
    more_examples = more_needed(drop, limit, examples)
    if more_examples is None:
        return "The drop lies on the limit itself: no number of examples would decide while it stays there."
    return f"About {more_examples:,} more examples would decide, if the drop stays at {said(drop.value, unit)}."


def _moved(change: Estimate, unit: str, status: Holds, interval_text: str, values: str = "") -> str:
    """How a metric changed: *unchanged* if the constraint holds and its interval includes 0.

    If the evidence does not decide, only the measured value is stated.
    """
    if (change.value, change.low or 0.0, change.high or 0.0) == (0.0, 0.0, 0.0):
        return "did not change"
    within = f" ({interval_text})" if interval_text else ""
    if not change.includes(0.0):
        return f"{'fell' if change.value < 0 else 'rose'} {values}by {said(abs(change.value), unit)}{within}"
    if status is Holds.HOLDS:
        return f"is unchanged ({values}{signed(change.value, unit)}, {interval_text})"
    if not change.value:
        return f"measured {values}the same{within}"
    return f"measured {values}{said(abs(change.value), unit)} {'lower' if change.value < 0 else 'higher'}{within}"


def _values(metric: MetricComparison) -> str:
    """Both values of a metric in its own unit, which give the difference a meaning; empty for shares."""
    return "" if metric.unit in POINT_UNITS else f"{from_to(metric.original.value, metric.candidate.value)}, "


# --- speed -----------------------------------------------------------------------------------------------------------


def latency_verdict(measured: Measurements, limit_ms: float) -> ConstraintVerdict:
    """The candidate's median run against a limit in milliseconds."""
    if _is_unknown(measured.latency):
        return _speed_unknown(measured.latency, "max_latency_ms", limit_ms, measured.candidate_latency_ms.value, "ms")
    p50 = measured.candidate_latency_ms
    status = decide(p50, limit_ms, "at most")
    sentence = (
        f"The median run takes {number(p50.value)} ms{interval(p50, measured.confidence)} at batch size "
        f"{measured.latency.candidate.batch_size}, {against(status, f'the limit of {number(limit_ms)} ms')}."
    )
    return ConstraintVerdict(
        constraint="max_latency_ms",
        limit=limit_ms,
        measured=p50,
        unit="ms",
        status=status,
        margin=limit_ms - p50.value,
        sentence=sentence,
        to_decide=_rounds_to_decide(p50, limit_ms, measured.latency) if status is Holds.INCONCLUSIVE else None,
    )


def speedup_verdict(measured: Measurements, limit: float) -> ConstraintVerdict:
    """The speed-up, its interval widened by the control's noise, against the required minimum."""
    if _is_unknown(measured.latency):
        return _speed_unknown(measured.latency, "min_speedup", limit, measured.latency.speedup.value, "×")
    speedup = widened_by_control(measured.latency)
    status = decide(speedup, limit, "at least")
    sentence = (
        f"{_times_faster(speedup.value)}{interval(speedup, measured.confidence, '×')}, "
        f"{against(status, f'the {number(limit)}× required', at_least=True)}."
    )
    return ConstraintVerdict(
        constraint="min_speedup",
        limit=limit,
        measured=speedup,
        unit="×",
        status=status,
        margin=speedup.value - limit,
        sentence=sentence,
        to_decide=_rounds_to_decide(speedup, limit, measured.latency) if status is Holds.INCONCLUSIVE else None,
    )


def too_busy(latency: LatencyComparison) -> str:
    """Why a candidate's speed is unknown on a busy machine, and what to do."""
    return (
        f"The machine is too busy: {disturbed_runs(latency.runs, latency.disturbed)}. Measure again when it is "
        "quieter, or give the worker its own cores (LATHE_CORES)."
    )


def _is_unknown(latency: LatencyComparison) -> bool:
    return latency.busy or latency.blocks < FEWEST_ROUNDS


def _speed_unknown(
    latency: LatencyComparison, constraint: str, limit: float, guess: float, unit: str
) -> ConstraintVerdict:
    """A limit on an unknown speed: the machine was busy, or a very slow model ran too few rounds."""
    if latency.busy:
        sentence, to_decide = "The candidate's speed is not known.", too_busy(latency)
    else:
        rounds = f"{latency.blocks} round{'' if latency.blocks == 1 else 's'}"
        sentence = f"The candidate's speed is not known: the time allowed only {rounds} of runs."
        to_decide = f"{FEWEST_ROUNDS} rounds would decide: give the session more minutes, or fewer candidates."
    return ConstraintVerdict(
        constraint=constraint,
        limit=limit,
        measured=Estimate(value=guess, low=0.0, high=UNKNOWN),
        unit=unit,
        status=Holds.INCONCLUSIVE,
        margin=0.0,
        sentence=sentence,
        to_decide=to_decide,
    )


def widened_by_control(latency: LatencyComparison) -> Estimate:
    """The speed-up's interval, widened by the control's ratio if that differs significantly from 1.

    Two sessions of the same model can differ permanently because of where their memory lies; so can the candidate's.
    """
    speedup, control = latency.speedup, latency.control
    if speedup.low is None or speedup.high is None or control.low is None or control.high is None:
        return speedup
    if control.low <= 1 <= control.high:
        return speedup
    factor = max(control.value, 1 / control.value)
    return Estimate(value=speedup.value, low=speedup.low / factor, high=speedup.high * factor)


def _times_faster(speedup: float) -> str:
    if speedup >= 1:
        return f"The candidate is {number(speedup)} times as fast as the original"
    return f"The candidate is slower, {number(speedup)} times as fast as the original"


def _rounds_to_decide(measured: Estimate, limit: float, latency: LatencyComparison) -> str:
    more = more_needed(measured, limit, latency.blocks)
    if more is None:
        return "The value lies on the limit itself: no number of runs would decide while it stays there."
    return f"About {more:,} more rounds of {latency.runs_per_block} runs would decide, or a quieter machine."


# --- exact numbers ---------------------------------------------------------------------------------------------------


def size_reduction_verdict(measured: Measurements, limit: float) -> ConstraintVerdict:
    """Original bytes over candidate bytes, compared with the required minimum. Exact."""
    pair = measured.size_bytes
    ratio = Estimate(value=pair.ratio)
    status = decide(ratio, limit, "at least")
    shrank = f"{number_of_bytes(pair.original)} to {number_of_bytes(pair.candidate)}"
    sentence = (
        f"The file {'shrank' if pair.ratio > 1 else 'did not shrink'}, from {shrank} ({number(pair.ratio)}×), "
        f"{against(status, f'the {number(limit)}× required', at_least=True)}."
    )
    return ConstraintVerdict(
        constraint="min_size_reduction",
        limit=limit,
        measured=ratio,
        unit="×",
        status=status,
        margin=pair.ratio - limit,
        sentence=sentence,
    )


def _exact_bytes(constraint: str, subject: str, pair: Pair, limit: int) -> ConstraintVerdict:
    measured = Estimate(value=pair.candidate)
    status = decide(measured, limit, "at most")
    place = against(status, f"the limit of {number_of_bytes(limit)}")
    return ConstraintVerdict(
        constraint=constraint,
        limit=limit,
        measured=measured,
        unit="bytes",
        status=status,
        margin=limit - pair.candidate,
        sentence=capital(f"{subject} {number_of_bytes(pair.candidate)}, {place}."),
    )
