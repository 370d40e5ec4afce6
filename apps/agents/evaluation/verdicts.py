"""Compares measurements with limits: *holds*, *violated* or *inconclusive*, each with a sentence. Pure functions.

The rule is in `deciding`; there is one module for each kind of limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from apps.agents.contracts.criteria import Constraints
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.evaluation.exact_verdicts import exact_bytes_verdict, size_reduction_verdict, size_verdict
from apps.agents.evaluation.group_verdicts import class_verdict, group_verdict
from apps.agents.evaluation.measured import Measurements, MetricMeasured
from apps.agents.evaluation.metric_limit_verdicts import metric_limit_verdicts
from apps.agents.evaluation.metric_verdicts import drop_verdict, relative_drop_verdict
from apps.agents.evaluation.output_limit_verdicts import output_limit_verdicts
from apps.agents.evaluation.output_verdicts import output_verdict
from apps.agents.evaluation.speed_verdicts import latency_verdict, speedup_verdict


def judge(constraints: Constraints, measured: Measurements) -> tuple[ConstraintVerdict, ...]:
    """A verdict for every constraint that has a limit, in the order of `Constraints`."""
    return tuple(_verdicts(constraints, measured))


def judge_metric(limits: Constraints, measured: MetricMeasured) -> tuple[ConstraintVerdict, ...]:
    """A verdict for every limit on the primary metric, on further ones, and on outputs with labels of their own."""
    return tuple(_metric_verdicts(limits, measured))


def overall(verdicts: Iterable[ConstraintVerdict]) -> Holds:
    """Violated if any verdict is, else inconclusive if any is, else holds."""
    found = {verdict.status for verdict in verdicts}
    for status in (Holds.VIOLATED, Holds.INCONCLUSIVE):
        if status in found:
            return status
    return Holds.HOLDS


def _verdicts(limits: Constraints, measured: Measurements) -> Iterator[ConstraintVerdict]:
    yield from _metric_verdicts(limits, measured)
    if limits.group_limit is not None:
        yield group_verdict(measured, limits.group_limit, in_unit=limits.max_group_drop_unit is not None)
    if limits.max_class_drop_points is not None:
        yield class_verdict(measured, limits.max_class_drop_points)
    if limits.max_output_deviation is not None:
        by_labels = limits.output_limits.keys() & {one.output for one in measured.labelled}
        others = tuple(one for one in measured.other_outputs if one.output not in by_labels)
        if others:
            yield output_verdict(replace(measured, other_outputs=others), limits.max_output_deviation)
    if limits.max_latency_ms is not None:
        yield latency_verdict(measured, limits.max_latency_ms)
    if limits.min_speedup is not None:
        yield speedup_verdict(measured, limits.min_speedup)
    if limits.max_size_bytes is not None:
        yield size_verdict(measured, limits.max_size_bytes)
    if limits.min_size_reduction is not None:
        yield size_reduction_verdict(measured, limits.min_size_reduction)
    if limits.max_memory_bytes is not None:
        yield exact_bytes_verdict(
            "max_memory_bytes", "peak memory is", measured.peak_memory_bytes, limits.max_memory_bytes
        )


def _metric_verdicts(limits: Constraints, measured: MetricMeasured) -> Iterator[ConstraintVerdict]:
    if limits.drop_limit is not None:
        yield drop_verdict(measured, limits.drop_limit, in_unit=limits.max_metric_drop_unit is not None)
    if limits.max_metric_drop_relative is not None:
        yield relative_drop_verdict(measured, limits.max_metric_drop_relative)
    yield from metric_limit_verdicts(measured, limits.metric_limits)
    yield from output_limit_verdicts(measured, limits.output_limits)
