"""A verdict in one sentence with a tone: what got better and what got worse. Pure functions.

Speed has changed if its interval excludes 1 by more than the noise that the control shows; the size of the file, from
one per cent on; memory, from its usual variation between runs on; the metric, if the interval of its change excludes 0.
A smaller difference is called unchanged, unless its interval reaches far from 0. `good` means that every constraint is
proven and nothing got worse. A loss of the metric that is proven to be within its limit is allowed by the criteria, so
it is `good` too: the sentence states it, but without celebrating.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from apps.agents.contracts.criteria import USUAL_OUTPUT_DEVIATION, Criteria
from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.phrasing import (
    capitalized,
    difference_unit,
    listed,
    moved,
    number,
    with_unit,
)
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import UNKNOWN as UNBOUNDED
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.contracts.reports.metrics import POINT_UNITS, FindingKind
from apps.agents.contracts.state import Headline, Outcome, Tone, Verdict
from apps.agents.evaluation.selection import REAL_CHANGE, REAL_MEMORY_CHANGE, noise_ratio

CELEBRATION = "Better, and it still works"
NOTICED_MEMORY_CHANGE = 1.25
NOTICED_MEMORY_BYTES = 5_000_000
"""If the criteria do not concern memory, its growth is mentioned only if it exceeds both: two runs of a model may
differ by less."""
RELATIVE_LIMIT = "max_metric_drop_relative"
METRIC_LIMITS = frozenset({"max_metric_drop_points", "max_metric_drop_unit", RELATIVE_LIMIT})
PART_LIMITS = {
    "max_group_drop_points": FindingKind.GROUP,
    "max_group_drop_unit": FindingKind.GROUP,
    "max_class_drop_points": FindingKind.CLASS,
}
"""The limits on each group or class."""
OUTPUT_LIMIT, LABELLED_LIMIT = "max_output_deviation", "output_limits"
NOTHING_BETTER = "Nothing better was found within the limits"


class Move(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNKNOWN = "unknown"
    """The interval is not bounded, because the machine was too busy; or it includes both no change and a large one."""


class _Change(NamedTuple):
    move: Move
    words: str


def headline_of(verdict: Verdict, report: EvaluationReport | None, criteria: Criteria) -> Headline:
    """The headline of a verdict. `report` is the evaluation of the delivered candidate."""
    if verdict.headline is not None:
        return verdict.headline
    if verdict.outcome is not Outcome.IMPROVED or report is None:
        return Headline(tone=Tone.NEUTRAL, sentence=NOTHING_BETTER)
    return headline(report, criteria, proven=not verdict.inconclusive)


def headline(report: EvaluationReport, criteria: Criteria, *, proven: bool) -> Headline:
    """The headline for a delivered candidate. `proven`: every constraint holds at the session's confidence."""
    changes = [_speed(report), _size(report), *_memory(report, criteria)]
    metric = _metric(report)
    gains = listed([one.words for one in changes if one.move is Move.BETTER])
    losses = listed([one.words for one in changes if one.move is Move.WORSE])
    same = [one.words for one in changes if one.move in (Move.SAME, Move.UNKNOWN)]
    body = _joined(gains, losses, same)
    harm = _harm(report)
    words = f"{body}; {metric.words}{_other_limits(report)}{harm}"
    if losses or harm or (metric.move is Move.WORSE and not _limited(report)):
        return Headline(tone=Tone.MIXED, sentence=capitalized(words))
    open_ones = changes if _limited(report) else [*changes, metric]  # A loss that holds its limit is proven to do so.
    if not proven or any(one.move is Move.UNKNOWN for one in open_ones):
        return Headline(tone=Tone.OPEN, sentence=capitalized(words))
    if metric.move in (Move.WORSE, Move.UNKNOWN):
        return Headline(tone=Tone.GOOD, sentence=capitalized(words))
    return Headline(tone=Tone.GOOD, sentence=f"{CELEBRATION}: {words}")


def _joined(gains: str, losses: str, same: Sequence[str]) -> str:
    better_or_worse = f"{gains}, and {losses}" if gains and losses else gains or losses
    return ", ".join(filter(None, [better_or_worse, listed(same)]))


# --- what changed ----------------------------------------------------------------------------------------------------


def speed_move(latency: LatencyComparison, noise: float) -> Move:
    """Whether the candidate is faster or slower by more than its interval and `noise` (a ratio of 1 or more)
    explain."""
    speedup = latency.speedup
    low = speedup.value if speedup.low is None else speedup.low
    high = speedup.value if speedup.high is None else speedup.high
    if high >= UNBOUNDED:
        return Move.UNKNOWN
    if low > noise:
        return Move.BETTER
    return Move.WORSE if high * noise < 1 else Move.SAME


def ratio_move(ratio: float, real: float) -> Move:
    """Whether `ratio`, original over candidate, is a change: it must be at least `real` times better or worse."""
    if ratio >= real:
        return Move.BETTER
    return Move.WORSE if ratio * real < 1 else Move.SAME


def _speed(report: EvaluationReport) -> _Change:
    ratio = report.latency.speedup.value
    move = speed_move(report.latency, noise_ratio(report))
    if move is Move.UNKNOWN:
        return _Change(move, "speed not known, because the machine was too busy")
    words = _words(move, ratio, "faster", "slower", "as fast as before")
    open_ones = _open(report)
    if "min_speedup" in open_ones:
        words += f" (not proven to reach the required {number(open_ones['min_speedup'])}×)"
    if "max_latency_ms" in open_ones:
        words += f" (not proven to stay within {number(open_ones['max_latency_ms'])} ms)"
    return _Change(move, words)


def _size(report: EvaluationReport) -> _Change:
    ratio = report.counted_bytes.ratio
    move = ratio_move(ratio, REAL_CHANGE)
    when = report.counted_size.when
    return _Change(move, _words(move, ratio, f"smaller{when}", f"larger{when}", f"as large as before{when}"))


def _memory(report: EvaluationReport, criteria: Criteria) -> list[_Change]:
    """The change of peak memory. Empty if the criteria do not concern memory, unless it grew considerably."""
    pair, ratio = report.peak_memory_bytes, report.peak_memory_bytes.ratio
    if criteria.exponents.memory or criteria.constraints.max_memory_bytes is not None:
        move = ratio_move(ratio, REAL_MEMORY_CHANGE)
        words = {
            Move.BETTER: f"{times(ratio)} less memory",
            Move.WORSE: f"{times(1 / ratio)} the memory" if ratio else "more memory",
            Move.SAME: "the same memory",
        }
        return [_Change(move, words[move])]
    grew = pair.candidate >= max(NOTICED_MEMORY_CHANGE * pair.original, pair.original + NOTICED_MEMORY_BYTES)
    return [_Change(Move.WORSE, f"{times(pair.candidate / max(1.0, pair.original))} the memory")] if grew else []


def _metric(report: EvaluationReport) -> _Change:
    primary, open_ones = report.primary, _open(report)
    worse = Move.WORSE if primary.drop.value > 0 else Move.BETTER
    move = Move.SAME if primary.unchanged else Move.UNKNOWN if primary.maybe_chance else worse
    limit = _limit_in_words(report)
    is_open = bool(METRIC_LIMITS & open_ones.keys())
    if is_open and primary.drop.value > 0:
        # The interval may include 0, but "unchanged" would promise more than is known.
        fell = "fell" if primary.higher_is_better else "rose"
        unit = difference_unit(primary.unit)
        return _Change(
            move,
            f"{primary.label} {fell} {with_unit(primary.drop.value, unit)}, within the limit of {limit}, not proven",
        )
    words = f"{primary.label} {moved(primary, report.examples, report.confidence)}"
    if is_open:
        words += f", not proven to stay within the limit of {limit}"
    elif move is Move.WORSE and limit:
        words += f", within the limit of {limit}"
    for limit_name, kind in PART_LIMITS.items():
        if limit_name in open_ones:
            most = with_unit(open_ones[limit_name], difference_unit(primary.unit))
            words += f", no {kind} proven to stay within {most}"
    return _Change(move, words)


def _other_limits(report: EvaluationReport) -> str:
    """The limits on further metrics and on other outputs that are not proven."""
    open_ones = [one for one in report.constraints if one.status is Holds.INCONCLUSIVE]
    names = [METRICS[Metric(one.subject)].label for one in open_ones if one.constraint == "metric_limits"]
    names += [f"the output {one.subject}" for one in open_ones if one.constraint in (OUTPUT_LIMIT, LABELLED_LIMIT)]
    return f"; {listed(names)} not proven to stay within the limit" if names else ""


def _harm(report: EvaluationReport) -> str:
    """The classes and groups that lose although the metric over all examples does not show it, and broken outputs.
    Those are left out to which a limit allows a loss."""
    subjects: dict[FindingKind, list[str]] = {}
    for one in report.findings:
        subjects.setdefault(one.kind, []).append(one.subject)
    for limit in report.constraints:
        if limit.constraint in PART_LIMITS:
            subjects.pop(PART_LIMITS[limit.constraint], None)
    losers = [
        f"the {kind} {those[0]} loses" if len(those) == 1 else f"{len(those)} {plural} lose"
        for kind, plural in ((FindingKind.CLASS, "classes"), (FindingKind.GROUP, "groups"))
        if (those := subjects.get(kind))
    ]
    churned = ["many predictions changed"] if FindingKind.CHURN in subjects else []
    words = listed([*losers, *churned, *_broken_outputs(report)])
    return f", but {words}" if words else ""


def _broken_outputs(report: EvaluationReport) -> list[str]:
    """The outputs that are further from the original's than is usually allowed, if the criteria do not limit them."""
    if any(one.constraint == OUTPUT_LIMIT for one in report.constraints):
        return []
    limited = {one.subject for one in report.constraints if one.constraint == LABELLED_LIMIT}
    least = {
        one: one.deviation.value if one.deviation.low is None else one.deviation.low
        for one in report.other_outputs
        if one.output not in limited
    }
    far = [one.output for one, low in least.items() if low > USUAL_OUTPUT_DEVIATION]
    if len(far) > 1:
        return [f"{len(far)} other outputs, which nothing limits, are far from the original's"]
    return [f"the output {name}, which nothing limits, is far from the original's" for name in far]


def _open(report: EvaluationReport) -> dict[str, float]:
    """The limits of inconclusive constraints, by constraint."""
    return {one.constraint: one.limit for one in report.constraints if one.status is Holds.INCONCLUSIVE}


def _limited(report: EvaluationReport) -> bool:
    return any(one.constraint in METRIC_LIMITS for one in report.constraints)


def _limit_in_words(report: EvaluationReport) -> str:
    """The limit on the metric, an inconclusive one first: `1 point`, `2 % of its value`; empty if there is none."""
    limits = [one for one in report.constraints if one.constraint in METRIC_LIMITS]
    limit = min(limits, key=lambda one: one.status is not Holds.INCONCLUSIVE, default=None)
    if limit is None:
        return ""
    if limit.constraint != RELATIVE_LIMIT:
        return with_unit(limit.limit, difference_unit(report.primary.unit))
    share = f"{number(limit.limit * 100)} % of its value"
    unit, whole = report.primary.unit, report.primary.whole_of(limit.limit)
    if whole > report.primary.original.value:
        return with_unit(limit.limit * whole, unit)
    return share if unit in POINT_UNITS else f"{share} ({with_unit(limit.limit * whole, unit)})"


# --- words -----------------------------------------------------------------------------------------------------------


def times(ratio: float) -> str:
    """A ratio as headlines show it: `4.2×`, `19×`, `1.03×`."""
    if ratio >= 9.95:
        return f"{ratio:,.0f}×"
    return f"{ratio:.1f}×" if ratio >= 1.1 else f"{ratio:.2f}×" if ratio >= 1.01 else f"{ratio:.3f}×"


def _words(move: Move, ratio: float, better: str, worse: str, same: str) -> str:
    if move is Move.SAME:
        return same
    return f"{times(ratio)} {better}" if move is Move.BETTER else f"{times(1 / max(ratio, 1e-9))} {worse}"
