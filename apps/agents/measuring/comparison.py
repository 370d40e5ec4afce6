"""Turns timed rounds of two models into the `LatencyComparison` of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.reports.measurements import Estimate, Latency, LatencyComparison
from apps.agents.contracts.reports.pressure import Pressure
from apps.agents.measuring.effort import ENOUGH_ROUNDS, FEWEST_PROCESSES, FEWEST_ROUNDS, Question
from apps.agents.measuring.record import CANDIDATE, CONTROL, ORIGINAL, Record
from apps.agents.measuring.single_model import summarize
from apps.agents.measuring.stopwatch import Floats
from apps.agents.measuring.timing_intervals import LogInterval, of_processes, of_rounds, unknown


def speedup_of(records: Sequence[Record], question: Question, confidence: float | None = None) -> LogInterval:
    """Original over candidate, from the rounds that count."""
    return _ratio(records, CANDIDATE, question, confidence)


def is_busy(records: Sequence[Record]) -> bool:
    """Whether disturbed runs left too few rounds, so that the speed-up is not known.

    If the time allows fewer rounds of a slow model, the smallest number that gives an interval is enough. With several
    processes, at least three must have yielded rounds. Runs that can only be compared with each other are useless once
    most of them are disturbed.
    """
    if any(series.mostly_disturbed for one in records for series in one.series.values()):
        return True
    telling = sum(len(one.counted) > 0 for one in records)
    if len(records) >= FEWEST_PROCESSES > telling:
        return True
    made, counted = sum(one.rounds for one in records), _counted(records)
    needed = ENOUGH_ROUNDS if made >= ENOUGH_ROUNDS else FEWEST_ROUNDS
    return counted < min(needed, made) and any(one.disturbed for one in records)


def compare(records: Sequence[Record], target: Target, question: Question, waited_s: float = 0.0) -> LatencyComparison:
    """The comparison of rounds from one process or from several. With several, intervals are over processes."""
    busy, counted = is_busy(records), _counted(records)
    known = not busy and counted >= FEWEST_ROUNDS
    by_cpu = _cpu_speedup(records, target, question)

    def estimate(interval: LogInterval) -> Estimate:
        return interval.estimate() if known else unknown(math.exp(interval.mean))

    speedup = estimate(_ratio(records, CANDIDATE, question))
    if not known:
        speedup = unknown(by_cpu.value if by_cpu else _all_runs_ratio(records, CANDIDATE))
    return LatencyComparison(
        original=_latency(records, ORIGINAL, target),
        candidate=_latency(records, CANDIDATE, target),
        speedup=speedup,
        control=estimate(_ratio(records, CONTROL, question)),
        candidate_p50_ms=estimate(_over(records, lambda one: np.log(one.medians_ms(CANDIDATE)), question))
        if counted
        else None,
        cpu_speedup=by_cpu,
        blocks=counted,
        runs_per_block=records[0].runs_per_block,
        warmup_runs=min(one.warmup_runs for one in records),
        original_blocks_ms=_joined(records, ORIGINAL),
        candidate_blocks_ms=_joined(records, CANDIDATE),
        runs=sum(one.runs for one in records),
        disturbed=sum(one.disturbed for one in records),
        busy=busy,
        processes=len(records),
        priority=records[-1].priority,
        pressure=_worst(records),
        timed_by=records[-1].timed_by,
        waited_s=waited_s,
    )


def _counted(records: Sequence[Record]) -> int:
    return sum(len(one.counted) for one in records)


def _ratio(records: Sequence[Record], name: str, question: Question, confidence: float | None = None) -> LogInterval:
    def logs(one: Record) -> Floats:
        return np.log(one.medians_ms(ORIGINAL)) - np.log(one.medians_ms(name))

    return _over(records, logs, question, confidence)


def _over(
    records: Sequence[Record], logs: Callable[[Record], Floats], question: Question, confidence: float | None = None
) -> LogInterval:
    found = [of_one for one in records if len(of_one := logs(one))]
    level = question.confidence if confidence is None else confidence
    if len(records) == 1:
        return of_rounds(found[0] if found else np.zeros(0), level, question.seed)
    return of_processes(found, level, question.seed) if found else LogInterval(0.0, math.inf)


def _cpu_speedup(records: Sequence[Record], target: Target, question: Question) -> Estimate | None:
    """By CPU time of all runs, which load hardly affects. `None` for several threads, which wait for each other."""
    on_host = target.device is Device.CPU
    if (
        not on_host
        or target.threads > 1
        or not all(min(one.cpu_ms) > 0 for each in records for one in each.series.values())
    ):
        return None

    def logs(one: Record) -> Floats:
        return np.log(one.series[ORIGINAL].cpu_ms) - np.log(one.series[CANDIDATE].cpu_ms)

    return _over(records, logs, question).estimate()


def _all_runs_ratio(records: Sequence[Record], name: str) -> float:
    original, other = (
        float(np.median([ms for one in records for ms in one.series[which].wall_ms])) for which in (ORIGINAL, name)
    )
    return original / other if other > 0 else 1.0


def _latency(records: Sequence[Record], name: str, target: Target) -> Latency:
    """From the clean runs. If none was clean, from all blocks; the comparison is then marked busy."""
    clean = [ms for one in records for ms in one.series[name].clean_ms]
    times = clean or [ms for one in records for ms in one.series[name].wall_ms]
    return summarize(np.array(times, dtype=np.float64), target.batch_size, target.threads)


def _worst(records: Sequence[Record]) -> Pressure | None:
    """The pressure in the process that other programs delayed most."""
    known = [one.pressure for one in records if one.pressure is not None]
    return max(known, key=lambda one: one.waiting_share or 0.0, default=None)


def _joined(records: Sequence[Record], name: str) -> tuple[float, ...]:
    return tuple(ms for one in records for ms in one.medians_ms(name).tolist())
