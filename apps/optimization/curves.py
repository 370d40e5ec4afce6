"""Curves of a training: values measured while it runs, such as the loss, over its steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _

from apps.agents.contracts.job import MetricValue
from apps.optimization.localized import localized
from apps.texts import storable

MOST_CURVES = 6
MOST_CHARACTERS = 60
"""The most characters of a curve's name."""
LARGEST = 1e100
"""Larger values are drawn at this value."""
MOST_POINTS = 240
"""The most points of one curve. If it gets more, it keeps every second one."""
TICKS = 6
TOP, HEIGHT = 4.0, 80.0
"""Top and height of the curves in the picture, in percent. The steps are below them."""
Pairs = list[tuple[int, float]]
Curves = dict[str, Pairs]
"""Pairs of step and value by the curve's name, in the order of steps."""


def extended(curves: Mapping[str, Pairs], points: Iterable[MetricValue]) -> Curves:
    """`curves` with `points` appended. A training that resumed from a checkpoint replaces the points it repeats."""
    found = dict(curves)
    for point in points:
        name = storable(point.name)[:MOST_CHARACTERS]
        if point.step is not None and (name in found or len(found) < MOST_CURVES):
            before = [pair for pair in found.get(name, ()) if pair[0] < point.step]
            found[name] = _thinned([*before, (point.step, max(-LARGEST, min(LARGEST, point.value)))])
    return found


def _thinned(pairs: Pairs) -> Pairs:
    return pairs if len(pairs) <= MOST_POINTS else [*pairs[:-1:2], pairs[-1]]


@dataclass(frozen=True)
class Line:
    """One drawn curve. `path` lies in a square of 1000 units, whose origin is at the top left."""

    name: str
    path: str
    first: float
    last: float
    last_step: int
    best: float
    """The lowest value, at `best_step`."""
    best_step: int


@dataclass(frozen=True)
class Tick:
    """A mark on the vertical axis, at `y` in the units of `Line.path`."""

    value: float
    y: float
    label: str
    """The value with the digits that the steps between marks need."""

    @property
    def percent(self) -> float:
        """The same position in percent of the whole picture."""
        return round(TOP + HEIGHT * self.y / 1000, 2)


@dataclass(frozen=True)
class Chart:
    """Curves over one axis of steps and one of values, ready for `_curves.html`."""

    curves: Mapping[str, Pairs]

    @property
    def lines(self) -> list[Line]:
        return [self._line(name, pairs) for name, pairs in self.curves.items() if pairs]

    @property
    def names(self) -> str:
        """The names of the curves: `loss and held-out loss`."""
        return _(" and ").join(_(line.name) for line in self.lines)

    @property
    def ticks(self) -> list[Tick]:
        """Round values between the lowest and the highest."""
        low, high = self._values
        step = round_step((high - low) / TICKS)
        first, last = math.ceil(low / step), math.floor(high / step)
        values = [number * step for number in range(first, last + 1)]
        return [Tick(value, round(self._y(value), 1), _label(value, step)) for value in values]

    @property
    def steps(self) -> tuple[int, int]:
        """The first and the last step."""
        steps = [step for pairs in self.curves.values() for step, _ in pairs]
        return min(steps), max(steps)

    @cached_property
    def _values(self) -> tuple[float, float]:
        """The range of the vertical axis. Constant curves lie in its middle."""
        values = [value for pairs in self.curves.values() for _, value in pairs]
        low, high = min(values), max(values)
        margin = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-6)
        return low - margin, high + margin

    def _line(self, name: str, pairs: Pairs) -> Line:
        path = "L".join(f"{self._x(step):.1f} {self._y(value):.1f}" for step, value in pairs)
        best_step, best = min(pairs, key=lambda pair: pair[1])
        # A single point is a line of length 0, which its round ends turn into a dot.
        closing = "h0" if len(pairs) == 1 else ""
        return Line(name, f"M{path}{closing}", pairs[0][1], pairs[-1][1], pairs[-1][0], best, best_step)

    def _x(self, step: int) -> float:
        first, last = self.steps
        return 1000 * (step - first) / max(1, last - first)

    def _y(self, value: float) -> float:
        low, high = self._values
        return 1000 * (high - value) / (high - low)


def round_step(step: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten, by ratio."""
    power = 10.0 ** math.floor(math.log10(step))
    return min((factor * power for factor in (1, 2, 5, 10)), key=lambda one: abs(math.log(one / step)))


def _label(value: float, step: float) -> str:
    """`value` with as many decimals as `step` has; in powers of ten where that would be long."""
    decimals = max(0, -math.floor(math.log10(step)))
    return localized(f"{value:.{decimals}f}" if decimals <= 4 and abs(value) < 1e5 else f"{value:.3g}")
