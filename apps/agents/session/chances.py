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


def extremes(measured: Sequence[Trial]) -> tuple[Trial, ...]:
    """Of these candidates, a few that give the same chance as all of them, whatever the loss: those with the narrowest
    and the widest interval, for each confidence and number of examples. Between the two, the chance moves one way."""
    found: dict[tuple[float, float], tuple[Trial, Trial]] = {}
    for trial in measured:
        if (interval := _interval_of(trial)) is None:
            continue
        narrowest, widest = found.get(interval[1:], (trial, trial))
        found[interval[1:]] = min(narrowest, trial, key=_width), max(widest, trial, key=_width)
    return tuple(trial for pair in found.values() for trial in pair) or tuple(measured[:1])


def _width(trial: Trial) -> float:
    interval = _interval_of(trial)
    return interval[0] if interval else 0.0


def _interval_of(trial: Trial) -> tuple[float, float, float] | None:
    """How far the interval of its loss reaches beyond the loss, at which confidence, and its share of the examples that
    judge; `None` if its loss has no interval."""
    report = trial.report
    drop = report.primary.drop if report else None
    if report is None or drop is None or drop.high is None:
        return None
    return drop.high - drop.value, report.confidence, report.examples / (report.judging_examples or report.examples)


def _with_the_interval_of(trial: Trial, points: float, limit: float) -> float:
    interval = _interval_of(trial)
    if interval is None:
        return 1.0
    width, confidence, share = interval
    return Prospect(Estimate(value=points, high=points + width), limit, confidence, share).chance(confidence)
