"""Verdicts on further outputs that have labels of their own.

Like limits on further metrics, each is tested at the full confidence: only a candidate that holds all is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.evaluation.measured import MetricMeasured
from apps.agents.evaluation.metric_verdicts import drop_verdict

FIELD = "output_limits"


def output_limit_verdicts(measured: MetricMeasured, limits: Mapping[str, float]) -> Iterator[ConstraintVerdict]:
    """A verdict for each of `limits`, in their order: on the loss of the output's primary metric."""
    known = {one.output: one for one in measured.labelled}
    for output, limit in limits.items():
        one = known.get(output)
        if one is None:
            yield _unknown(output, limit)
            continue
        named = one.primary.model_copy(update={"label": f"{one.primary.label} of the output {output!r}"})
        verdict = drop_verdict(MetricMeasured(named, one.examples, measured.confidence), limit)
        yield verdict.model_copy(update={"constraint": FIELD, "subject": output, "metric": one.primary.metric})


def _unknown(output: str, limit: float) -> ConstraintVerdict:
    """Without labels, nothing decides."""
    return ConstraintVerdict(
        constraint=FIELD,
        subject=output,
        limit=limit,
        measured=Estimate(value=0.0, low=-UNKNOWN, high=UNKNOWN),
        unit="",
        status=Holds.INCONCLUSIVE,
        margin=0.0,
        sentence=f"The loss of the output {output!r} is not known: the data set has no labels for it.",
        to_decide="No number of examples would decide: add the output's labels, or remove the limit.",
    )
