"""The picture of the measured candidates: speed-up against the loss of the metric, with the front and the limits.

It is drawn by the server, without script, so the live page, the report and the package show the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.loss_limits import absolute_limit
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.front import ORIGINAL_POINT, Front, FrontPoint
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.evaluation.pareto import Measured, front_of
from apps.optimization.curves import round_step
from apps.optimization.localized import difference, localized, number, with_unit

LEFT, WIDTH, TOP, HEIGHT = 5.0, 86.0, 5.0, 80.0
"""The area of the points in the picture, in percent."""
TICKS = 4
MARGIN = 0.08
"""Of an axis, that is left free on either side."""
_ON_EXAMPLES = {
    Part.CHOOSING.value: gettext_noop("on {number} validation examples"),
    Part.EVALUATION.value: gettext_noop("on {number} test examples"),
}
_ON_ANY = gettext_noop("on {number} examples")


@dataclass(frozen=True)
class Mark:
    """One point, in percent of the picture."""

    point: FrontPoint
    x: float
    y: float
    left: float
    right: float
    """The ends of the interval of the speed-up."""
    above: float
    below: float
    """The ends of the interval of the loss."""

    @property
    def is_original(self) -> bool:
        return self.point.key == ORIGINAL_POINT

    @property
    def label(self) -> str:
        """`c01 3.9×`: the key, and how many times smaller it is."""
        return _("original") if self.is_original else f"{self.point.key} {number(self.point.size_ratio)}×"

    @property
    def described(self) -> str:
        """The point in words: its text alternative."""
        point = self.point
        if self.is_original:
            return _("The original: 1× as fast, 1 times smaller, no loss.")
        words = _(
            "{candidate}, {status}: {speedup}× as fast{speedup_range}, {size} times smaller, a loss of "
            "{loss}{loss_range} {on_examples}. {beaten}"
        )
        return words.format(
            candidate=f"{point.key} {point.title}",
            status=_(point.status),
            speedup=number(point.speedup.value),
            speedup_range=_within(point.speedup),
            size=number(point.size_ratio),
            loss=with_unit(point.drop.value, point.unit),
            loss_range=_within(point.drop, point.unit),
            on_examples=_(_ON_EXAMPLES.get(point.part, _ON_ANY)).format(number=localized(f"{point.examples:,}")),
            beaten=self._beaten,
        )

    @property
    def _beaten(self) -> str:
        if not self.point.dominated_by:
            return _("On the front.")
        return _("Beaten by {candidate} in everything.").format(candidate=self.point.dominated_by)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, in percent of the picture."""

    at: float
    label: str


@dataclass(frozen=True)
class Segment:
    """One piece of the line through the front, in percent of the picture."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Axis:
    """One axis: its range, and where that starts and ends in the picture, in percent."""

    low: float
    high: float
    start: float
    length: float

    @classmethod
    def of(cls, values: Iterable[float], start: float, length: float) -> Axis:
        known = list(values)
        low, high = min(known), max(known)
        margin = (high - low) * MARGIN or max(abs(high) * MARGIN, 0.1)
        return cls(low - margin, high + margin, start, length)

    def at(self, value: float) -> float:
        """Where `value` lies. What lies beyond the range is drawn at its end."""
        inside = min(self.high, max(self.low, value))
        return round(self.start + self.length * (inside - self.low) / (self.high - self.low), 2)

    @property
    def ticks(self) -> list[float]:
        """Round values within the range."""
        step = round_step((self.high - self.low) / TICKS)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [round(place * step, 10) for place in range(first, last + 1)]


@dataclass(frozen=True)
class Scatter:
    """The front of a session as a picture."""

    front: Front
    criteria: Criteria
    metric: str = "metric"
    limit: float | None = None
    """The largest loss that the criteria allow, in the metric's unit."""

    @property
    def shown(self) -> bool:
        """Whether there is a point beside the original."""
        return len(self.front.points) > 1

    @cached_property
    def across(self) -> Axis:
        limit = self.criteria.constraints.min_speedup
        return Axis.of([*(one.speedup.value for one in self.front.points), *_known(limit)], LEFT, WIDTH)

    @cached_property
    def down(self) -> Axis:
        """The loss grows downwards, so up is better."""
        return Axis.of([*(one.drop.value for one in self.front.points), *_known(self.limit)], TOP, HEIGHT)

    @cached_property
    def marks(self) -> list[Mark]:
        """The points, the dominated ones first, so that the front is drawn above them."""
        ordered = sorted(self.front.points, key=lambda one: one.on_front)
        return [self._mark(point) for point in ordered]

    @property
    def line(self) -> list[Segment]:
        """The line through the front, from the slowest to the fastest."""
        found = {mark.point.key: mark for mark in self.marks}
        on = [found[key] for key in self.front.keys]
        return [Segment(one.x, one.y, two.x, two.y) for one, two in pairwise(on)]

    @property
    def across_ticks(self) -> list[Tick]:
        return [Tick(self.across.at(value), f"{number(value)}×") for value in self.across.ticks]

    @property
    def down_ticks(self) -> list[Tick]:
        return [Tick(self.down.at(value), difference(value, self.unit)) for value in self.down.ticks]

    @property
    def speed_limit(self) -> float | None:
        """Where the required speed-up lies; `None` without one."""
        limit = self.criteria.constraints.min_speedup
        return None if limit is None else self.across.at(limit)

    @property
    def loss_limit(self) -> float | None:
        """Where the limit on the loss lies; `None` without one."""
        return None if self.limit is None else self.down.at(self.limit)

    @property
    def unit(self) -> str:
        return self.front.points[0].unit

    @property
    def candidates(self) -> list[FrontPoint]:
        """The candidates among the points: first those on the front, the fastest first."""
        found = [one for one in self.front.points if one.key != ORIGINAL_POINT]
        return sorted(found, key=lambda one: (not one.on_front, -one.speedup.value))

    def _mark(self, point: FrontPoint) -> Mark:
        speed, drop = point.speedup, point.drop
        return Mark(
            point=point,
            x=self.across.at(speed.value),
            y=self.down.at(drop.value),
            left=self.across.at(speed.value if speed.low is None else speed.low),
            right=self.across.at(speed.value if speed.high is None else speed.high),
            above=self.down.at(drop.value if drop.low is None else drop.low),
            below=self.down.at(drop.value if drop.high is None else drop.high),
        )


def scatter_of(measured: Sequence[tuple[str, str, str, EvaluationReport]], criteria: Criteria) -> Scatter:
    """The picture of candidates, each given as key, title, status and latest evaluation."""
    front = front_of([Measured(*one) for one in measured])
    if not measured:
        return Scatter(front, criteria)
    primary = measured[0][3].primary
    limit = absolute_limit(criteria.constraints, primary)
    return Scatter(front, criteria, primary.label, limit)


def _known(limit: float | None) -> list[float]:
    return [] if limit is None else [limit]


def _within(measured: Estimate, unit: str = "×") -> str:
    """The interval in brackets, after a space; empty for an exact number or an unbounded one."""
    if measured.low is None or measured.high is None or max(abs(measured.low), abs(measured.high)) >= UNKNOWN:
        return ""
    return f" [{difference(measured.low, unit)}, {difference(measured.high, unit)}]"
