"""Shows predicted losses in the unit of the metric that they are about."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.evaluation.risk_outcome import loss_held
from apps.agents.planning.ordering import SUCCESS
from apps.agents.techniques.catalogue import Risk
from apps.optimization.localized import with_unit
from apps.optimization.templatetags.measures import Measured, change, percent, unknown

register = template.Library()

_OUTCOMES = {
    Holds.HOLDS: gettext_lazy("within the limit"),
    Holds.INCONCLUSIVE: gettext_lazy("not decided against the limit"),
    Holds.VIOLATED: gettext_lazy("more than the limit"),
}
ERRORS = frozenset({Metric.MAE, Metric.RMSE})
"""Metrics whose losses are predicted in per cent of the original's value."""


@register.filter
def foreseen(points: Measured, metric: MetricComparison | str | None) -> str:
    """A predicted loss as a change of `metric`, which is its name as long as the original's value is not known:
    `−0.23`; for errors `+0.012 °C`, or `+2 % of it`.
    """
    if not metric:
        return change(points)
    name = Metric(metric.metric if isinstance(metric, MetricComparison) else metric)
    if name not in ERRORS or unknown(points) or not points:
        return change(points, METRICS[name].higher_is_better)
    sign = "+" if float(points) > 0 else "−"
    if isinstance(metric, MetricComparison) and metric.original.value:
        return f"{sign}{with_unit(abs(float(points)) / 100 * metric.original.value, metric.unit)}"
    return _("{change} of it").format(change=f"{sign}{with_unit(abs(float(points)), '%')}")


@register.filter
def chance_to_lose(risk: str) -> str:
    """The chance, which the planner assumes at a predicted risk, that a candidate loses more than its limit: `15 %`."""
    return percent(1 - SUCCESS[Risk(risk)])


@register.filter
def loss_outcome(report: EvaluationReport) -> str:
    """What became of that risk; empty without a limit on the loss."""
    held = loss_held(report)
    return str(_OUTCOMES[held]) if held else ""
