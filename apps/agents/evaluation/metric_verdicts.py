"""Verdicts on the loss of the primary metric: its drop, absolute or relative, against a limit."""

from __future__ import annotations

from apps.agents.contracts.phrasing import (
    OF_ITS_VALUE,
    against,
    capitalized,
    difference_unit,
    interval_in_words,
    number,
    with_unit,
)
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.contracts.reports.metrics import POINT_UNITS, MetricComparison
from apps.agents.evaluation.deciding import decide
from apps.agents.evaluation.measured import MetricMeasured
from apps.agents.evaluation.metric_sentences import both_values, examples_to_decide, how_it_changed


def drop_verdict(measured: MetricMeasured, limit: float, *, in_unit: bool = False) -> ConstraintVerdict:
    """The primary metric's drop against a limit in points, or in the metric's own unit (`in_unit`)."""
    primary = measured.primary
    drop = primary.drop
    unit = difference_unit(primary.unit)
    status = decide(drop, limit, "at most")
    interval_text = interval_in_words(primary.change, measured.confidence, unit)
    moved = how_it_changed(primary.change, unit, status, interval_text, both_values(primary), primary.narrow)
    sentence = f"{primary.label} {moved}, {against(status, f'the limit of {with_unit(limit, unit)}')}."
    return ConstraintVerdict(
        constraint="max_metric_drop_unit" if in_unit else "max_metric_drop_points",
        limit=limit,
        measured=drop,
        unit=unit,
        status=status,
        margin=limit - drop.value,
        sentence=capitalized(sentence),
        to_decide=examples_to_decide(drop, limit, unit, measured.examples) if status is Holds.INCONCLUSIVE else None,
    )


def relative_drop_verdict(measured: MetricMeasured, limit: float) -> ConstraintVerdict:
    """The drop as a share of the original's value, whose own uncertainty is small and ignored. If the original's error
    is near 0, the limit is a rise that is negligible against the labels."""
    primary = measured.primary
    base = primary.whole_of(limit)
    if base <= 0:
        return ConstraintVerdict(
            constraint="max_metric_drop_relative",
            limit=limit,
            measured=Estimate(value=0.0, low=-UNKNOWN, high=UNKNOWN),
            unit="of the original",
            status=Holds.INCONCLUSIVE,
            margin=0.0,
            sentence=f"The original's {primary.label} is {number(base)}, so a relative drop is undefined.",
            to_decide="No number of examples would decide: limit the loss in points or in the metric's own unit.",
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
    if base > primary.original.value:
        change, in_words = primary.change, difference_unit(primary.unit)
    else:
        in_words = OF_ITS_VALUE
    moved = how_it_changed(
        change, in_words, status, interval_in_words(change, measured.confidence, in_words), both_values(primary)
    )
    sentence = f"{primary.label} {moved}, {against(status, _share_limit(primary, limit))}."
    return ConstraintVerdict(
        constraint="max_metric_drop_relative",
        limit=limit,
        measured=drop,
        unit="of the original",
        status=status,
        margin=limit - drop.value,
        sentence=capitalized(sentence),
        to_decide=examples_to_decide(percent, limit * 100, "%", measured.examples)
        if status is Holds.INCONCLUSIVE
        else None,
    )


def _share_limit(primary: MetricComparison, limit: float) -> str:
    """A limit that is a share of the original's value, with what that is in a unit of its own: `2 % (0.012 °C)`."""
    share = f"the limit of {number(limit * 100)} %"
    if primary.unit in POINT_UNITS:
        return share
    whole = primary.whole_of(limit)
    if whole > primary.original.value:
        return f"the limit of {with_unit(limit * whole, primary.unit)}, which is negligible against the labels' spread"
    return f"{share} ({with_unit(limit * whole, primary.unit)})"
