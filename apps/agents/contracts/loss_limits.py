"""Which limit on the loss holds for a data set's metric, and that limit in words.

Metrics on a fixed scale (shares, correlations, R²) are limited in points. Errors, perplexity and likelihoods have no
such scale: one more may be ruinous or unnoticeable. Their default is a share of the original's value, so that it is
sound whatever the unit of the labels is.
"""

from __future__ import annotations

import math

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import METRICS, DatasetSpec, Metric
from apps.agents.contracts.phrasing import capitalized, difference_unit, number, with_unit
from apps.agents.contracts.reports.metrics import POINT_UNITS, MetricComparison


def has_scale(metric: Metric) -> bool:
    """Whether the metric is on a fixed scale, so that points mean the same for every data set."""
    return METRICS[metric].unit in POINT_UNITS


def for_task(criteria: Criteria, spec: DatasetSpec) -> Criteria:
    """`criteria` with the limits on the loss that hold for the data set's metric. Resolving twice changes nothing."""
    limits = for_metric(criteria.constraints, spec.primary_metric)
    return criteria.model_copy(update={"constraints": limits})


def for_metric(limits: Constraints, metric: Metric) -> Constraints:
    """`limits` with only those on the loss that hold for `metric`.

    Without a fixed scale, the limit in the unit comes before the default. A likelihood differs by a constant for the
    same relative rise of perplexity, so its default is an absolute number of nats.
    """
    if has_scale(metric):
        return limits.model_copy(update={"max_metric_drop_unit": None, "max_group_drop_unit": None})
    unit, share, default = limits.max_metric_drop_unit, limits.max_metric_drop_relative, limits.default_rise
    if unit is None and default is None:
        return limits
    if unit is None and share is None and default is not None:
        if metric is Metric.NLL:
            unit = round(math.log1p(default), 6)
        else:
            share = default
    return limits.model_copy(
        update={"max_metric_drop_points": None, "max_metric_drop_unit": unit, "max_metric_drop_relative": share}
    )


def absolute_limit(limits: Constraints, metric: MetricComparison) -> float | None:
    """The tighter of the resolved limits on the drop of `metric`, in the drop's unit."""
    share = limits.max_metric_drop_relative
    found = [limits.drop_limit, None if share is None else share * metric.whole_of(share)]
    return min((one for one in found if one is not None), default=None)


def planned_limit(limits: Constraints) -> float | None:
    """The limit in the points in which losses are predicted; `None` without one.

    The predictions' points are those of a share. A share of the original's value is as many per cent of it. Nothing
    converts a limit in the label's unit.
    """
    if limits.max_metric_drop_unit is not None:
        return None
    if limits.max_metric_drop_points is not None:
        return limits.max_metric_drop_points
    share = limits.max_metric_drop_relative
    return None if share is None else 100 * share


def limit_in_words(criteria: Criteria, spec: DatasetSpec, original: float | None = None) -> str:
    """The limit that holds, in its unit: `Mean absolute error may rise by at most 0.012 °C: 2 % of the original's 0.6
    °C.` `original` is the original's value of the metric, if it is known.
    """
    metric = spec.primary_metric
    limits, shown = for_metric(criteria.constraints, metric), METRICS[metric]
    unit = difference_unit(spec.unit_of(metric))
    may = f"{capitalized(shown.label)} may {'fall' if shown.higher_is_better else 'rise'} by at most"
    found = []
    if limits.drop_limit is not None:
        found.append(with_unit(limits.drop_limit, unit))
    if (share := limits.max_metric_drop_relative) is not None:
        found.append(_share_in_words(share, spec, original))
    if not found:
        return f"Nothing limits the loss of {shown.label}."
    usual = not has_scale(metric) and criteria.constraints.default_rise is not None
    named = criteria.constraints.max_metric_drop_unit is not None or share != criteria.constraints.default_rise
    default = " This is the default, because the criteria give no limit in this unit." if usual and not named else ""
    return f"{may} {', and by at most '.join(found)}.{default}"


def _share_in_words(share: float, spec: DatasetSpec, original: float | None) -> str:
    percent = f"{number(100 * share)} % of the original's"
    unit = spec.unit_of(spec.primary_metric)
    if original is None:
        return f"{percent} value, which is not measured yet"
    value = f"{number(original)} {unit}".strip()
    return f"{with_unit(share * original, difference_unit(unit))}: {percent} {value}"


def drop_in_points(metric: MetricComparison) -> float:
    """A measured drop in the points of predictions: without a fixed scale, per cent of the original's value.

    Perplexity is the exception, because its losses are predicted in its own unit.
    """
    drop, original = metric.drop.value, abs(metric.original.value)
    if metric.metric not in (Metric.MAE, Metric.RMSE) or not original:
        return drop
    return 100 * drop / original
