"""The workers over time, as a picture without script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from apps.optimization.curves import Chart, Tick
from apps.optimization.models import WorkerCount


class WholeNumbers(Chart):
    """A chart from 0, whose marks are whole numbers."""

    @property
    def ticks(self) -> list[Tick]:
        whole = (tick for tick in super().ticks if tick.value == round(tick.value))
        return [Tick(tick.value, tick.y, f"{tick.value:.0f}") for tick in whole]

    @cached_property
    def _values(self) -> tuple[float, float]:
        return 0.0, 1.1 * max(1.0, *(value for pairs in self.curves.values() for _, value in pairs))


@dataclass(frozen=True)
class Attendance:
    """How many workers were alive, and how many of them busy, from `since` on."""

    chart: Chart
    since: datetime
    most_alive: int
    most_busy: int


def attendance(counts: Sequence[WorkerCount]) -> Attendance | None:
    """`None` before there are two counts to draw a line between."""
    if len(counts) < 2:
        return None
    curves = {
        "alive": [(place, float(one.alive)) for place, one in enumerate(counts)],
        "busy": [(place, float(one.busy)) for place, one in enumerate(counts)],
    }
    most_alive, most_busy = max(one.alive for one in counts), max(one.busy for one in counts)
    return Attendance(WholeNumbers(curves), counts[0].at, most_alive, most_busy)
