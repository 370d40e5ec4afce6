"""Verdicts on latency and speed-up, including a speed that is not known."""

from __future__ import annotations

from apps.agents.contracts.phrasing import against, disturbed_runs, interval, number
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate, LatencyComparison
from apps.agents.evaluation.deciding import decide, more_needed
from apps.agents.evaluation.measured import Measurements
from apps.agents.measuring.effort import FEWEST_ROUNDS


def latency_verdict(measured: Measurements, limit_ms: float) -> ConstraintVerdict:
    """The candidate's median run against a limit in milliseconds."""
    if _is_unknown(measured.latency):
        return _speed_unknown(measured.latency, "max_latency_ms", limit_ms, measured.candidate_latency_ms.value, "ms")
    p50 = measured.candidate_latency_ms
    status = decide(p50, limit_ms, "at most")
    sentence = (
        f"The median run takes {number(p50.value)} ms{interval(p50, measured.confidence)} at batch size "
        f"{measured.latency.candidate.batch_size}, {against(status, f'the limit of {number(limit_ms)} ms')}."
    )
    return ConstraintVerdict(
        constraint="max_latency_ms",
        limit=limit_ms,
        measured=p50,
        unit="ms",
        status=status,
        margin=limit_ms - p50.value,
        sentence=sentence,
        to_decide=_rounds_to_decide(p50, limit_ms, measured.latency) if status is Holds.INCONCLUSIVE else None,
    )


def speedup_verdict(measured: Measurements, limit: float) -> ConstraintVerdict:
    """The speed-up, its interval widened by the control's noise, against the required minimum."""
    if _is_unknown(measured.latency):
        return _speed_unknown(measured.latency, "min_speedup", limit, measured.latency.speedup.value, "×")
    speedup = widened_by_control(measured.latency)
    status = decide(speedup, limit, "at least")
    sentence = (
        f"{_times_faster(speedup.value)}{interval(speedup, measured.confidence, '×')}, "
        f"{against(status, f'the {number(limit)}× required', at_least=True)}."
    )
    return ConstraintVerdict(
        constraint="min_speedup",
        limit=limit,
        measured=speedup,
        unit="×",
        status=status,
        margin=speedup.value - limit,
        sentence=sentence,
        to_decide=_rounds_to_decide(speedup, limit, measured.latency) if status is Holds.INCONCLUSIVE else None,
    )


def too_busy(latency: LatencyComparison) -> str:
    """Why a candidate's speed is unknown on a busy machine, and what to do."""
    return (
        f"The machine is too busy: {disturbed_runs(latency.runs, latency.disturbed)}. Measure again when it is "
        "quieter, or give the worker its own cores (LATHE_CORES)."
    )


def _is_unknown(latency: LatencyComparison) -> bool:
    return latency.busy or latency.blocks < FEWEST_ROUNDS


def _speed_unknown(
    latency: LatencyComparison, constraint: str, limit: float, guess: float, unit: str
) -> ConstraintVerdict:
    """A limit on an unknown speed: the machine was busy, or a very slow model ran too few rounds."""
    if latency.busy:
        sentence, to_decide = "The candidate's speed is not known.", too_busy(latency)
    else:
        rounds = f"{latency.blocks} round{'' if latency.blocks == 1 else 's'}"
        sentence = f"The candidate's speed is not known: the time allowed only {rounds} of runs."
        to_decide = f"{FEWEST_ROUNDS} rounds would decide: give the session more minutes, or fewer candidates."
    return ConstraintVerdict(
        constraint=constraint,
        limit=limit,
        measured=Estimate(value=guess, low=0.0, high=UNKNOWN),
        unit=unit,
        status=Holds.INCONCLUSIVE,
        margin=0.0,
        sentence=sentence,
        to_decide=to_decide,
    )


def widened_by_control(latency: LatencyComparison) -> Estimate:
    """The speed-up's interval, widened by the control's ratio if that differs significantly from 1.

    Two sessions of the same model can differ permanently because of where their memory lies; so can the candidate's.
    """
    speedup, control = latency.speedup, latency.control
    if speedup.low is None or speedup.high is None or control.low is None or control.high is None:
        return speedup
    if control.low <= 1 <= control.high:
        return speedup
    factor = max(control.value, 1 / control.value)
    return Estimate(value=speedup.value, low=speedup.low / factor, high=speedup.high * factor)


def _times_faster(speedup: float) -> str:
    if speedup >= 1:
        return f"The candidate is {number(speedup)} times as fast as the original"
    return f"The candidate is slower, {number(speedup)} times as fast as the original"


def _rounds_to_decide(measured: Estimate, limit: float, latency: LatencyComparison) -> str:
    more = more_needed(measured, limit, latency.blocks)
    if more is None:
        return "The value lies on the limit itself: no number of runs would decide while it stays there."
    return f"About {more:,} more rounds of {latency.runs_per_block} runs would decide, or a quieter machine."
