"""The verdict on the outputs other than the judged one."""

from __future__ import annotations

from apps.agents.contracts.phrasing import against, interval_in_words, number
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.metrics import OutputComparison
from apps.agents.evaluation.deciding import decide, more_needed
from apps.agents.evaluation.measured import Measurements

UNIT = "of its spread"


def output_verdict(measured: Measurements, limit: float) -> ConstraintVerdict:
    """The deviation of the worst of the other outputs against a limit that each of them must meet.

    The intervals hold for all of them at once. The worst output is the one that exceeds the limit by most or, if none
    exceeds it, the one whose interval reaches furthest. `measured.other_outputs` must not be empty.
    """
    by_status = {one.output: decide(one.deviation, limit, "at most") for one in measured.other_outputs}
    status = next((one for one in (Holds.VIOLATED, Holds.INCONCLUSIVE) if one in by_status.values()), Holds.HOLDS)
    among = [one for one in measured.other_outputs if by_status[one.output] is status]
    worst = max(among, key=lambda one: _bound(one, low=status is Holds.VIOLATED))
    return ConstraintVerdict(
        constraint="max_output_deviation",
        subject=worst.output,
        limit=limit,
        measured=worst.deviation,
        unit="" if worst.exact else UNIT,
        status=status,
        margin=limit - worst.deviation.value,
        sentence=_sentence(worst, len(measured.other_outputs), limit, status, measured.confidence),
        to_decide=_to_decide(worst, limit) if status is Holds.INCONCLUSIVE else None,
    )


def _sentence(worst: OutputComparison, count: int, limit: float, status: Holds, confidence: float) -> str:
    deviation, several = worst.deviation, count > 1
    named = f"The output {worst.output!r}"
    if several:
        named = f"Of {count:,} other outputs, {worst.output!r} does worst: it"
    if deviation.value == 0:
        return f"{named} does not differ from the original's, {against(status, f'the limit of {number(limit)}')}."
    interval = interval_in_words(deviation, confidence)
    interval = interval.replace("interval", "interval for all outputs", 1) if several else interval
    within = f" ({interval})" if interval else ""
    how = (
        f"differs from the original's in {number(100 * deviation.value**2)} % of its values, a deviation of "
        f"{number(deviation.value)}{within}"
        if worst.exact
        else f"deviates from the original's by {number(deviation.value)} of its standard deviation{within}"
    )
    return f"{named} {how}, {against(status, f'the limit of {number(limit)}')}."


def _to_decide(worst: OutputComparison, limit: float) -> str:
    more = more_needed(worst.deviation, limit, worst.examples)
    if more is None:
        return "The deviation lies on the limit itself: no number of examples would decide while it stays there."
    return f"About {more:,} more examples would decide, if the deviation stays at {number(worst.deviation.value)}."


def _bound(one: OutputComparison, *, low: bool) -> float:
    end = one.deviation.low if low else one.deviation.high
    return one.deviation.value if end is None else end
