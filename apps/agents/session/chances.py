"""How likely a candidate is to keep its loss within the limit, before it is measured."""

from __future__ import annotations

from collections.abc import Sequence

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.measuring.statistics.certainty import Prospect
from apps.agents.session.candidates import Trial

LEAST_CHANCE = 0.25
"""The chance that a loss predicted to take the whole limit holds it: a prediction alone rules nothing out."""


def chance_to_hold(points: float, limit: float | None, measured: Sequence[Trial]) -> float:
    """The chance, 0 to 1, that a loss of so many points is proven to be within the limit; 1 without a limit.

    With intervals as wide as those of `measured`, candidates of the same kind. If there are none, it falls with the
    share of the limit that the loss is predicted to take: what should lose nothing is tried first.
    """
    if limit is None:
        return 1.0
    if measured:
        return min(_with_the_interval_of(trial, points, limit) for trial in measured)
    return max(LEAST_CHANCE, 1 - max(0.0, points) / limit) if limit else 1.0


def _with_the_interval_of(trial: Trial, points: float, limit: float) -> float:
    report = trial.report
    drop = report.primary.drop if report else None
    if report is None or drop is None or drop.high is None:
        return 1.0
    expected = Estimate(value=points, high=points + drop.high - drop.value)
    share = report.examples / (report.judging_examples or report.examples)
    return Prospect(expected, limit, report.confidence, share).chance(report.confidence)
