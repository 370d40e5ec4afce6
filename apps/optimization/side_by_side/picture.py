"""Readings as points on two axes, drawn by the server: the primary metric against latency, and against size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _

from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.optimization.fronts import HEIGHT, LEFT, TOP, WIDTH, Axis, Tick
from apps.optimization.localized import column_number, number_of_bytes
from apps.optimization.side_by_side.readings import Reading
from apps.optimization.side_by_side.sides import Side


@dataclass(frozen=True)
class Mark:
    """One side, in percent of the picture, with the ends of its intervals."""

    number: int
    """Its place among the sides, from 1."""
    url: str
    described: str
    x: float
    y: float
    left: float
    right: float
    above: float
    below: float


@dataclass(frozen=True)
class Overlay:
    """The sides that share a metric, on one pair of axes. Left is better; so is up, if a higher metric is."""

    across_name: str
    metric: str
    unit: str
    higher_is_better: bool
    sides: tuple[tuple[int, Side, Reading], ...]
    across: Callable[[Reading], Estimate]
    across_words: Callable[[float], str]

    @cached_property
    def _x(self) -> Axis:
        return Axis.of([end for _, _, one in self.sides for end in _reach(self.across(one))], LEFT, WIDTH)

    @cached_property
    def _y(self) -> Axis:
        """Its values are turned around, so that a higher one is further up."""
        return Axis.of([-end for _, _, one in self.sides for end in _reach(one.primary.value)], TOP, HEIGHT)

    @property
    def name(self) -> str:
        return _("{metric} against {quantity}").format(metric=self.metric, quantity=self.across_name)

    @property
    def marks(self) -> list[Mark]:
        return [self._mark(*one) for one in self.sides]

    @property
    def across_ticks(self) -> list[Tick]:
        return [Tick(self._x.at(value), self.across_words(value)) for value in self._x.ticks]

    @property
    def up_ticks(self) -> list[Tick]:
        return [Tick(self._y.at(value), column_number(-value, 4)) for value in self._y.ticks]

    def _mark(self, number: int, side: Side, reading: Reading) -> Mark:
        across, value = self.across(reading), reading.primary.value
        left, right = ends(across)
        low, high = ends(value)
        text = f"{column_number(value.value, 4)} {_(self.unit)}".strip()
        return Mark(
            number=number,
            url=side.url,
            described=f"{number}: {side.title}: {self.metric} {text}; {self.across_name}: "
            f"{self.across_words(across.value)}",
            x=self._x.at(across.value),
            y=self._y.at(-value.value),
            left=self._x.at(left),
            right=self._x.at(right),
            above=self._y.at(-high),
            below=self._y.at(-low),
        )


def overlays(sides: Sequence[Side]) -> list[Overlay]:
    """The two pictures of the sides whose primary metric is the first side's; none for fewer than two sides."""
    measured = [(place, side, side.reading) for place, side in enumerate(sides, start=1) if side.reading]
    if not measured:
        return []
    first = measured[0][2].primary
    same = tuple(one for one in measured if one[2].primary.metric == first.metric)
    if len(same) < 2:
        return []
    axes: list[tuple[str, Callable[[Reading], Estimate], Callable[[float], str]]] = [
        (_("latency (p50, ms)"), lambda one: one.latency_ms, column_number),
        (_("size"), lambda one: Estimate(value=one.size_bytes), number_of_bytes),
    ]
    return [
        Overlay(name, _(first.label), first.unit, first.higher_is_better, same, across, words)
        for name, across, words in axes
    ]


def _reach(one: Estimate) -> tuple[float, ...]:
    return (one.value, *ends(one))


def ends(one: Estimate) -> tuple[float, float]:
    if one.low is None or one.high is None or max(abs(one.low), abs(one.high)) >= UNKNOWN:
        return one.value, one.value
    return one.low, one.high
