"""Verdicts on metrics other than the primary one.

A candidate is accepted only if every limit holds, so each is tested at the full confidence: the chance to accept one
that breaks any limit is at most that of the limit it breaks (intersection-union test: Berger, Technometrics 24 (1982)
295-300). Finalists share the chance of error on these limits as on that of the primary metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.phrasing import difference_unit
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.evaluation.measured import MetricMeasured
from apps.agents.evaluation.metric_verdicts import drop_verdict


def metric_limit_verdicts(measured: MetricMeasured, limits: Mapping[Metric, float]) -> Iterator[ConstraintVerdict]:
    """A verdict for each of `limits`, in their order."""
    known = {one.metric: one for one in measured.metrics}
    for metric, limit in limits.items():
        one = known.get(metric)
        if one is None:
            yield _unknown(metric, limit)
            continue
        verdict = drop_verdict(MetricMeasured(one, measured.examples, measured.confidence), limit)
        yield verdict.model_copy(update={"constraint": "metric_limits", "subject": metric.value})


def _unknown(metric: Metric, limit: float) -> ConstraintVerdict:
    """What only the values decide: R² has no meaning if all labels are equal."""
    spec = METRICS[metric]
    return ConstraintVerdict(
        constraint="metric_limits",
        subject=metric.value,
        limit=limit,
        measured=Estimate(value=0.0, low=-UNKNOWN, high=UNKNOWN),
        unit=difference_unit(spec.unit),
        status=Holds.INCONCLUSIVE,
        margin=0.0,
        sentence=f"The loss of {spec.label} is not known: it cannot be measured on this output and these examples.",
        to_decide="No number of examples would decide: remove the limit, or limit a metric of the report.",
    )
