"""Plots of the planner's error over time, drawn without a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.optimization.curves import Chart, Curves
from apps.optimization.services.predictions import Mistake, SessionMistakes

FEWEST_SESSIONS = 2
"""With fewer, there is nothing to draw."""


@dataclass(frozen=True)
class ErrorPlot:
    """One number's error, session by session, in the order of time."""

    title: str
    unit: str
    """What the vertical axis means."""
    chart: Chart


_NUMBERS: tuple[tuple[Promise, Promise, Callable[[Mistake], float | None]], ...] = (
    (_("Gain"), _("speed-ups were off by this factor; 1 is exact"), lambda one: one.gain),
    (_("Cost"), _("minutes were off by this factor; 1 is exact"), lambda one: one.minutes),
    (_("Risk"), _("losses were off by so many points, or units of the metric"), lambda one: one.loss),
)


def plots_of(sessions: Sequence[SessionMistakes]) -> tuple[ErrorPlot, ...]:
    """A plot for each number that is known of at least two sessions. `sessions` come newest first."""
    in_time = sessions[::-1]
    found = []
    for title, unit, read in _NUMBERS:
        curves = _curves(in_time, read)
        if len(curves["as predicted"]) >= FEWEST_SESSIONS:
            found.append(ErrorPlot(str(title), str(unit), Chart(curves)))
    return tuple(found)


def _curves(sessions: Sequence[SessionMistakes], read: Callable[[Mistake], float | None]) -> Curves:
    """What the plans said, and what they would have said without the history."""
    curves: Curves = {"as predicted": [], "by the tables alone": []}
    for number, one in enumerate(sessions, start=1):
        for name, mistake in zip(curves, (one.predicted, one.tables), strict=True):
            if (value := read(mistake)) is not None:
                curves[name].append((number, value))
    return curves
