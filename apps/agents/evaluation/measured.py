"""The measurements that a session's constraints are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.agents.contracts.criteria import CountedSize
from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.reports.measurements import Estimate, LatencyComparison, Pair
from apps.agents.contracts.reports.metrics import (
    ClassComparison,
    GroupComparison,
    LabelledOutput,
    MetricComparison,
    OutputComparison,
)


@dataclass(frozen=True)
class MetricMeasured:
    """What the limits on the metric are compared with; `confidence` is that of the intervals."""

    primary: MetricComparison
    examples: int
    confidence: float
    metrics: tuple[MetricComparison, ...] = field(default=(), kw_only=True)
    """All metrics that were measured."""
    labelled: tuple[LabelledOutput, ...] = field(default=(), kw_only=True)
    """Further outputs with labels of their own."""


@dataclass(frozen=True)
class Measurements(MetricMeasured):
    """What the constraints of a session are compared with."""

    latency: LatencyComparison
    candidate_latency_ms: Estimate
    """The candidate's median run, with its interval over blocks."""
    size_bytes: Pair
    """Of the size that the criteria count."""
    peak_memory_bytes: Pair
    groups: tuple[GroupComparison, ...] = ()
    group_metric: Metric | None = None
    """The metric that `groups` compares."""
    classes: tuple[ClassComparison, ...] = ()
    counted_size: CountedSize = CountedSize.FILE
    other_outputs: tuple[OutputComparison, ...] = ()
