"""Verdicts of sessions that could not decide: no candidate was measured, or the machine was too busy to time one.

These verdicts do not claim that the original is better. It is packaged because nothing else is known to work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from apps.agents.contracts.phrasing import capitalized, disturbed_runs, listed, with_full_stop
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.contracts.state import Headline, Miss, Outcome, SessionState, StepKind, Tone, Verdict

TOO_BUSY = "Inconclusive: the machine is too busy"
OUT_OF_TIME = "Not measured: the budget ended before any candidate was measured"
NONE_WORKED = "Not measured: every candidate that was tried failed"
NOTHING_TRIED = "Not measured: no candidate was tried"
MOST_FAILURES = 3
"""How many failures the verdict lists. Each candidate shows its own."""
WHEN_BUSY = (
    "Start the session again when the machine is quiet, give the worker its own cores (LATHE_CORES), or let its "
    "timing run with priority; the deployment guide explains how."
)


# --- nothing measured ------------------------------------------------------------------------------------------------


def not_measured(
    state: SessionState | None = None, failures: Mapping[str, str] | None = None, minutes_spent: str | None = None
) -> Verdict:
    """The verdict of a session without a measured candidate.

    `failures` maps candidates to sentences. `minutes_spent` is the sentence that states that the time is used up.
    """
    failed = [
        f"{key} failed: {with_full_stop(sentence)}" for key, sentence in list((failures or {}).items())[:MOST_FAILURES]
    ]
    if minutes_spent:
        headline, found, advice = OUT_OF_TIME, [capitalized(minutes_spent), *failed], [_more_minutes(state)]
    elif failed:
        headline, found, advice = NONE_WORKED, failed, []
    else:
        headline, found, advice = (
            NOTHING_TRIED,
            ["No technique that could be tried is expected to be better within the limits."],
            [],
        )
    if failed:
        advice.append("Read why each candidate failed, fix the cause or allow other techniques, and start again.")
    elif not minutes_spent:
        advice.append("Read what the plan left out and why. With other limits or techniques it would try more.")
    return Verdict(
        outcome=Outcome.NOT_MEASURED,
        headline=Headline(tone=Tone.UNMEASURED, sentence=headline),
        reason=f"{' '.join(found)} No candidate could be measured, so it is unknown whether one would be better.",
        advice=" ".join(advice),
    )


def _more_minutes(state: SessionState | None) -> str:
    if state is None:
        return "Give the session more minutes."
    needed = minutes_needed(state)
    return (
        f"Give the session more time: at least about {needed} minute{'s' * (needed > 1)} instead of "
        f"{state.criteria.budget.minutes:g}."
    )


def minutes_needed(state: SessionState) -> int:
    """About how many of its own minutes the session needs to measure one candidate, estimated from its steps so far.

    The sum of: all steps before the candidates, the longest time to make a candidate, and twice the time of the
    analysis, because an evaluation runs both models.
    """
    took = [(step.request, step.duration_s) for step in state.steps if step.duration_s is not None]
    before = [
        seconds for request, seconds in took if request.candidate is None and request.kind is not StepKind.PACKAGE
    ]
    making = [seconds for request, seconds in took if request.kind is StepKind.OPTIMIZE]
    looking = [seconds for request, seconds in took if request.kind is StepKind.ANALYSE]
    needed_s = sum(before) + max(making, default=0.0) + 2 * max(looking, default=0.0)
    return max(math.ceil(needed_s / 60), math.floor(state.criteria.budget.minutes) + 1)


# --- a machine too busy ----------------------------------------------------------------------------------------------


def speed_unknown(latency: LatencyComparison) -> str:
    return f"The speed is not known: {disturbed_runs(latency.runs, latency.disturbed)}."


def too_busy(names: list[str], runs: int, lost: int, misses: tuple[Miss, ...], constraint: str) -> Verdict:
    """The verdict if the unknown speed is the only obstacle for the candidates `names`."""
    several = len(names) > 1
    return Verdict(
        outcome=Outcome.INCONCLUSIVE,
        headline=Headline(tone=Tone.BUSY, sentence=TOO_BUSY),
        binding=constraint,
        reason=(
            f"{disturbed_runs(runs, lost)}, so the speed of {listed(names)} is not known. It is the only obstacle: "
            f"{'one of them' if several else 'it'} may well be better than the original."
        ),
        advice=WHEN_BUSY,
        misses=misses,
        timed_runs=runs,
        disturbed_runs=lost,
    )
