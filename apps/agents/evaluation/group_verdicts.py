"""The verdicts on the loss of the worst group of examples, and of the worst class."""

from __future__ import annotations

from dataclasses import dataclass

from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.phrasing import against, difference_unit, interval_in_words, with_unit
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.evaluation.deciding import decide
from apps.agents.evaluation.measured import Measurements
from apps.agents.evaluation.metric_sentences import examples_to_decide, how_it_changed


@dataclass(frozen=True)
class _One:
    """A group or a class, with the interval of its drop that holds for all of them at once."""

    name: str
    examples: int
    drop: Estimate


@dataclass(frozen=True)
class _Parts:
    """All groups or all classes, and the limit that each of them must hold."""

    constraint: str
    limit: float
    noun: str
    plural: str
    label: str
    unit: str
    higher_is_better: bool
    confidence: float
    all: tuple[_One, ...]

    def verdict(self) -> ConstraintVerdict:
        """The drop of the worst one against the limit.

        The intervals hold for all at once, so that none fails only because many were tested. The worst one exceeds the
        limit by most or, if none exceeds it, its interval reaches furthest.
        """
        by_status = {one: decide(one.drop, self.limit, "at most") for one in self.all}
        status = next(
            (one for one in (Holds.VIOLATED, Holds.INCONCLUSIVE) if one in by_status.values()),
            Holds.HOLDS,
        )
        worst = max(
            (one for one in self.all if by_status[one] is status),
            key=lambda one: _bound(one.drop, low=status is Holds.VIOLATED),
        )
        return ConstraintVerdict(
            constraint=self.constraint,
            limit=self.limit,
            measured=worst.drop,
            unit=self.unit,
            status=status,
            margin=self.limit - worst.drop.value,
            sentence=self._sentence(worst, status),
            to_decide=self._to_decide(worst) if status is Holds.INCONCLUSIVE else None,
        )

    def _sentence(self, worst: _One, status: Holds) -> str:
        change = worst.drop.negated() if self.higher_is_better else worst.drop
        interval_text = interval_in_words(change, self.confidence, self.unit).replace(
            "interval", f"interval for all {self.plural}", 1
        )
        moved = how_it_changed(change, self.unit, status, interval_text)
        return (
            f"Of {len(self.all):,} {self.plural}, {worst.name} does worst: its {self.label} {moved} on "
            f"{worst.examples:,} examples, {against(status, f'the limit of {with_unit(self.limit, self.unit)}')}."
        )

    def _to_decide(self, worst: _One) -> str:
        if worst.examples < 2:
            return (
                f"The {self.noun} {worst.name} has only one example: add more examples of it, or merge it with another "
                f"{self.noun}."
            )
        needed = examples_to_decide(worst.drop, self.limit, self.unit, worst.examples)
        return f"In the {self.noun} {worst.name}: {needed}"


def group_verdict(measured: Measurements, limit: float, *, in_unit: bool = False) -> ConstraintVerdict:
    """The drop of the worst group against a limit that every group must meet, in points or in the metric's own unit
    (`in_unit`).
    """
    constraint = "max_group_drop_unit" if in_unit else "max_group_drop_points"
    metric = measured.group_metric
    unit = difference_unit(_unit(measured, metric)) if metric else "points"
    if not measured.groups or metric is None:
        return _unknown(
            constraint,
            limit,
            unit,
            "The loss of each group is not known: the metric is not a mean over the examples of a group.",
            "No number of examples would decide: choose a metric such as accuracy or mean absolute error.",
        )
    return _Parts(
        constraint=constraint,
        limit=limit,
        noun="group",
        plural="groups",
        label=METRICS[metric].label,
        unit=unit,
        higher_is_better=METRICS[metric].higher_is_better,
        confidence=measured.confidence,
        all=tuple(_One(one.group, one.examples, one.simultaneous) for one in measured.groups),
    ).verdict()


def class_verdict(measured: Measurements, limit: float) -> ConstraintVerdict:
    """The drop of the worst class's recall against a limit in points that every class must meet."""
    constraint = "max_class_drop_points"
    known = [_One(one.label, one.examples, one.simultaneous) for one in measured.classes if one.simultaneous]
    if not known:
        return _unknown(
            constraint,
            limit,
            "points",
            "The loss of each class is not known: the examples have no classes as labels.",
            "No number of examples would decide: choose a data set for classification.",
        )
    return _Parts(
        constraint=constraint,
        limit=limit,
        noun="class",
        plural="classes",
        label="recall",
        unit="points",
        higher_is_better=True,
        confidence=measured.confidence,
        all=tuple(known),
    ).verdict()


def _unit(measured: Measurements, metric: Metric) -> str:
    """The unit of `metric`: that of the labels, which the primary metric shows, if it is the same."""
    return measured.primary.unit if measured.primary.metric == metric else METRICS[metric].unit


def _unknown(constraint: str, limit: float, unit: str, sentence: str, to_decide: str) -> ConstraintVerdict:
    return ConstraintVerdict(
        constraint=constraint,
        limit=limit,
        measured=Estimate(value=0.0, low=-UNKNOWN, high=UNKNOWN),
        unit=unit,
        status=Holds.INCONCLUSIVE,
        margin=0.0,
        sentence=sentence,
        to_decide=to_decide,
    )


def _bound(drop: Estimate, *, low: bool) -> float:
    end = drop.low if low else drop.high
    return drop.value if end is None else end
