"""The numbers that an evaluation has of one of its two models: the candidate, or the original beside it."""

from __future__ import annotations

from enum import StrEnum

from apps.agents.contracts.criteria import CountedSize
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import Estimate, LatencyComparison, Pair
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.values import Value


class Role(StrEnum):
    """Which of the two models of an evaluation was read."""

    CANDIDATE = "candidate"
    ORIGINAL = "original"


class MetricReading(Value):
    """One metric of one model. `change` is relative to the original of its session: a negative number is lower."""

    metric: str
    label: str
    unit: str
    higher_is_better: bool
    value: Estimate
    change: Estimate | None
    """`None` for the original itself."""


class Reading(Value):
    """What was measured of one model. Ratios are original over this model: above 1 is faster or smaller."""

    role: Role
    part: Part
    examples: int
    metrics: tuple[MetricReading, ...]
    """The primary one first."""
    latency_ms: Estimate
    """The median run (p50). The original's, and those of older reports, have no interval."""
    p95_ms: float
    throughput_per_s: float
    batch_size: int
    threads: int
    speedup: Estimate | None
    """`None` for the original itself, and where the machine was too busy to time it."""
    size_bytes: float
    size_ratio: float | None
    compressed_bytes: float | None
    peak_memory_bytes: float

    @property
    def primary(self) -> MetricReading:
        return self.metrics[0]


class Measured(Value):
    """The fields of an `EvaluationReport` that readings come from, so that the database gives only those."""

    part: Part = Part.EVALUATION
    examples: int
    metrics: tuple[MetricComparison, ...]
    latency: LatencyComparison
    size_bytes: Pair
    compressed_bytes: Pair | None = None
    peak_memory_bytes: Pair
    counted_size: CountedSize = CountedSize.FILE


def reading_of(report: EvaluationReport | Measured, role: Role) -> Reading:
    """The numbers that `report` has of the model in `role`."""
    of_candidate, latency = role is Role.CANDIDATE, report.latency
    timed = latency.candidate if of_candidate else latency.original
    return Reading(
        role=role,
        part=report.part,
        examples=report.examples,
        metrics=tuple(_metric(one, of_candidate=of_candidate) for one in report.metrics),
        latency_ms=(latency.candidate_p50_ms if of_candidate else None) or Estimate(value=timed.p50_ms),
        p95_ms=timed.p95_ms,
        throughput_per_s=timed.throughput_per_s,
        batch_size=timed.batch_size,
        threads=timed.threads,
        speedup=latency.speedup if of_candidate and not latency.busy else None,
        size_bytes=_of(report.size_bytes, role),
        size_ratio=report.size_bytes.ratio if of_candidate else None,
        compressed_bytes=_of(report.compressed_bytes, role) if report.compressed_bytes else None,
        peak_memory_bytes=_of(report.peak_memory_bytes, role),
    )


def _metric(one: MetricComparison, *, of_candidate: bool) -> MetricReading:
    return MetricReading(
        metric=one.metric,
        label=one.label,
        unit=one.unit,
        higher_is_better=one.higher_is_better,
        value=one.candidate if of_candidate else one.original,
        change=one.change if of_candidate else None,
    )


def _of(pair: Pair, role: Role) -> float:
    return pair.candidate if role is Role.CANDIDATE else pair.original
