"""What was found: one row for each way of making a model faster, and what counts of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pydantic import Field

from apps.agents.contracts.criteria import Constraints
from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.loss_limits import absolute_limit, for_metric
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.values import Value

LIMITS = Constraints()
"""Lathe's defaults: one point; for metrics without a fixed scale, two per cent of the original's value."""
NO_GAIN = 1.0


class Measured(Value):
    """One artifact against the original, in the process that measures all of them."""

    size_bytes: int
    metric: MetricComparison
    cpu_speedup: Estimate
    """By CPU time of all runs, which other programs hardly affect."""
    wall_speedup: Estimate
    """By the rounds in which no model was disturbed."""

    @property
    def holds(self) -> bool:
        """Whether the measured loss is within the limit."""
        limit = absolute_limit(for_metric(LIMITS, Metric(self.metric.metric)), self.metric)
        return limit is None or self.metric.drop.value <= limit


class Row(Value):
    """One entry on one model: what it took to make, and what it is worth. `failure` says why there is nothing."""

    entry: str
    wall_s: float = 0.0
    cpu_s: float = 0.0
    releases: dict[str, str] = Field(default_factory=dict)
    what: str = ""
    failure: str | None = None
    measured: Measured | None = None

    @property
    def counted(self) -> float:
        """The speed-up that counts: 1 for a failure, a loss beyond the limit, or a slow-down, because whoever gets that
        keeps the original."""
        if self.measured is None or not self.measured.holds:
            return NO_GAIN
        return max(NO_GAIN, self.measured.cpu_speedup.value)


class Found(Value):
    """Everything on one model."""

    subject: str
    rows: tuple[Row, ...] = ()
    not_run: str | None = None
    size_bytes: int = 0
    examples: int = 0
    """That are held back for measuring."""
    given: int = 0
    control: Estimate | None = None
    """The original beside itself: by how much ratios are off."""
    machine: str = ""
    day: str = ""
    took_s: float = 0.0
    form: str = ""
    load: tuple[float, float] = (0.0, 0.0)
    """Load averages before and after."""

    def row(self, entry: str) -> Row | None:
        return next((row for row in self.rows if row.entry == entry), None)

    def counted(self, entry: str) -> float:
        """1 where the entry does not take such a model."""
        row = self.row(entry)
        return NO_GAIN if row is None else row.counted


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else NO_GAIN


def mean_of(entry: str, found: Sequence[Found]) -> float:
    """What one entry reaches over all models."""
    return geometric_mean(one.counted(entry) for one in found)


def hindsight(peers: Sequence[str], found: Sequence[Found]) -> float:
    """What the best peer of each model reaches, which nobody knows beforehand."""
    return geometric_mean(max((one.counted(peer) for peer in peers), default=NO_GAIN) for one in found)


def best_single(peers: Sequence[str], found: Sequence[Found]) -> str:
    """The peer that reaches most over all models."""
    return max(peers, key=lambda peer: mean_of(peer, found))
