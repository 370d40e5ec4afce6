"""Judges a measured candidate and chooses the best: what is accepted, what is rolled back, and why.

The delivered model is never worse than the original: a candidate is accepted only if it meets every limit and its gain
exceeds noise. If no candidate does, the original stands.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.agents.contracts.phrasing import gains_in_words, listed, moved, with_full_stop
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import UNKNOWN
from apps.agents.contracts.reports.slack import Nearest
from apps.agents.contracts.state import Choice, Miss, Outcome, Verdict
from apps.agents.evaluation.inconclusive import not_measured, speed_unknown, too_busy

METRIC_CONSTRAINTS = frozenset(
    {
        "max_metric_drop_points",
        "max_metric_drop_unit",
        "max_metric_drop_relative",
        "max_group_drop_points",
        "max_group_drop_unit",
        "max_class_drop_points",
        "metric_limits",
        "output_limits",
        "max_output_deviation",
    }
)
BESIDES_METRIC = frozenset({"metric_limits", "output_limits", "max_output_deviation"})
SPEED_CONSTRAINTS = frozenset({"min_speedup", "max_latency_ms"})
GAIN = "gain"
"""Listed among a candidate's missed constraints if it is no better than the original."""
PLAUSIBILITY = "plausibility"
BUSY = "busy"
"""Listed among them if the speed counts but is not known, because other programs kept the machine busy."""

OPEN_PREMIUM = 1.1
"""Divisor for the score in the search while the evidence leaves some limit undecided."""
TOLERATED_REACH = 3.0
"""An inconclusive loss is tolerated only if its interval excludes a loss of more than this many limits."""
REAL_CHANGE = 1.01
"""A file counts as smaller or larger from one per cent on: a few bytes of metadata do not count."""
REAL_MEMORY_CHANGE = 1.05
"""Peak memory varies by a few per cent from run to run."""
_TIE = 0.99
_MOST_NOISE = 1.1
"""Noise beyond this does not make two candidates alike."""


class Standing(StrEnum):
    PROMISING = "promising"
    """On the validation part, every measured value lies within its limit and the gain is real."""
    PROVEN = "proven"
    """It meets every constraint at the member's confidence, and the gain is real."""
    PROVISIONAL = "provisional"
    """It violates no constraint and every measured value lies within its limit, but some evidence is inconclusive."""
    REJECTED = "rejected"


@dataclass(frozen=True)
class Judgement:
    """The result of a candidate's evaluation.

    `misses` are `(constraint, sentence)` for each obstacle. `open_points` are sentences about what is tolerated
    although not proven. `gains`: whether it is really better under the objective.
    """

    standing: Standing
    score: float
    overall: float
    """Speed-up times size ratio; decides between equal scores."""
    misses: tuple[tuple[str, str], ...]
    open_points: tuple[str, ...]
    gains: bool
    smaller: bool
    drop: float
    """Drop of the primary metric; positive is a loss."""
    summary: str
    examples: int
    ruled_out: bool = False
    """Whether an obstacle is certain. If not, more examples might remove it."""
    speed_unknown: str | None = None
    """Why its speed is not known, in a sentence."""
    timed_runs: int = 0
    disturbed_runs: int = 0
    noise: float = 1.0
    """How far its measured speed may be off, as a factor: 1 or more."""

    @property
    def accepted(self) -> bool:
        return self.standing is not Standing.REJECTED

    @property
    def _scored(self) -> str:
        return f"Score {self.score:.2f}."

    @property
    def loses_metric(self) -> bool:
        """Whether the loss of accuracy is an obstacle."""
        return any(constraint in METRIC_CONSTRAINTS for constraint, _ in self.misses)

    @property
    def broken_besides_metric(self) -> str:
        """The limits on further metrics and other outputs that are missed, if the primary metric holds its own."""
        missed = {constraint for constraint, _ in self.misses} & METRIC_CONSTRAINTS
        return listed(sorted(map(_name, missed))) if missed and missed <= BESIDES_METRIC else ""

    @property
    def only_loses_metric(self) -> bool:
        """Whether the loss of accuracy is the only known obstacle, so that a repair is worthwhile."""
        return self.loses_metric and all(constraint in (*METRIC_CONSTRAINTS, BUSY) for constraint, _ in self.misses)

    @property
    def only_untimed(self) -> bool:
        """Whether it would be accepted if its speed were known and good."""
        return bool(self.misses) and all(constraint == BUSY for constraint, _ in self.misses)

    @property
    def reason(self) -> str:
        """Why it was accepted or rolled back, in sentences with numbers."""
        if not self.accepted:
            return f"{' '.join(with_full_stop(text) for _, text in self.misses)} Measured {self.summary}."
        if self.standing is Standing.PROMISING:
            return (
                f"On {self.examples:,} validation examples, nothing speaks against it: {self.summary}. {self._scored}"
            )
        if not self.open_points:
            return f"It meets every constraint: {self.summary}. {self._scored}"
        open_points = " ".join(with_full_stop(text) for text in self.open_points)
        return (
            f"It violates no constraint, and every measured value lies within its limit: {self.summary}. "
            f"{self._scored} The evidence is inconclusive, which the criteria allow: {open_points}"
        )


def judge(
    report: EvaluationReport, criteria: Criteria, constraints: Sequence[ConstraintVerdict] | None = None
) -> Judgement:
    """Judge one evaluation by its own verdicts on the constraints, or by `constraints` if given.

    A candidate is accepted if it violates no constraint, has no implausible gain, and is really better
    (`_no_real_gain`).
    For a finalist, an inconclusive constraint is an obstacle, unless the criteria accept inconclusive evidence and
    `_may_stay_open`. On the few validation examples, the measured value only has to lie within the limit.
    If the machine was too busy, the speed is unknown, which is an obstacle if the speed counts.
    """
    busy = report.latency.busy
    misses: list[tuple[str, str]] = [(PLAUSIBILITY, sentence) for sentence in report.implausible]
    open_points: list[str] = []
    choosing = report.part is Part.CHOOSING
    no_gain = _no_real_gain(report, criteria)
    ruled_out = bool(misses or no_gain)
    for verdict in report.constraints if constraints is None else constraints:
        if verdict.status is Holds.HOLDS or (busy and verdict.constraint in SPEED_CONSTRAINTS):
            continue
        sentence = _sentence(verdict)
        within = verdict.status is Holds.INCONCLUSIVE and verdict.margin >= 0
        if within if choosing else criteria.accept_inconclusive and _may_stay_open(verdict):
            open_points.append(sentence)
        else:
            misses.append((verdict.constraint, sentence))
            ruled_out |= verdict.status is Holds.VIOLATED
    if busy and _speed_counts(report, criteria):
        misses.append((BUSY, speed_unknown(report.latency)))
    if no_gain:
        misses.append((GAIN, no_gain))
    accepted = Standing.PROMISING if choosing else Standing.PROVISIONAL if open_points else Standing.PROVEN
    return Judgement(
        standing=Standing.REJECTED if misses else accepted,
        score=score(report, criteria),
        overall=report.latency.speedup.value * report.counted_bytes.ratio,
        misses=tuple(misses),
        open_points=tuple(open_points),
        gains=no_gain is None,
        smaller=report.counted_bytes.ratio >= REAL_CHANGE,
        drop=report.primary.drop.value,
        summary=_summary(report),
        examples=report.examples,
        ruled_out=ruled_out,
        speed_unknown=speed_unknown(report.latency) if busy else None,
        noise=_noise_of(report),
        timed_runs=report.latency.runs,
        disturbed_runs=report.latency.disturbed,
    )


def _noise_of(report: EvaluationReport) -> float:
    """The factor between the middle and the ends of the speed-up's interval."""
    low, high = report.latency.speedup.low, report.latency.speedup.high
    return 1.0 if low is None or high is None or low <= 0 else max(1.0, (high / low) ** 0.5)


def _speed_counts(report: EvaluationReport, criteria: Criteria) -> bool:
    """Whether the objective weighs the speed, or a limit applies to it."""
    limited = any(verdict.constraint in SPEED_CONSTRAINTS for verdict in report.constraints)
    return limited or criteria.exponents.latency > 0


def _may_stay_open(verdict: ConstraintVerdict) -> bool:
    """Whether an inconclusive verdict may be tolerated: the measured value lies within the limit, and the interval of a
    loss does not exceed `TOLERATED_REACH` limits. Beyond that there would be no real evidence."""
    if verdict.status is not Holds.INCONCLUSIVE or verdict.margin < 0:
        return False
    if verdict.constraint not in METRIC_CONSTRAINTS:
        return True
    measured = verdict.measured
    return (measured.value if measured.high is None else measured.high) <= TOLERATED_REACH * verdict.limit


def score(report: EvaluationReport, criteria: Criteria) -> float:
    """Weighted geometric mean of the measured ratios, original over candidate. The original's score is 1."""
    speedup, memory = report.latency.speedup.value, report.peak_memory_bytes.ratio
    return criteria.weighted_gain(speedup, report.counted_bytes.ratio, memory)


def noise_ratio(report: EvaluationReport) -> float:
    """How far from 1 noise alone moves a ratio of latencies, from the control: 1 or more."""
    control = report.latency.control
    low, high = control.low or control.value, control.high or control.value
    return max(1.0, high, 1 / low if low > 0 else 1.0)


def _no_real_gain(report: EvaluationReport, criteria: Criteria) -> str | None:
    """Why the candidate is not really better under the objective; `None` if it is.

    Latency: the speed-up's interval lies above 1 and above the noise of the control. Size: the file is smaller by at
    least one per cent, at any speed. Memory: less than the original's by more than it varies. Balanced: one of the
    weighted gains is real, none of the weighted quantities is really worse, and the score is above 1. A speed that is
    weighted but unknown may be the gain.
    """
    weights, noise, speedup = criteria.exponents, noise_ratio(report), report.latency.speedup
    low = speedup.value if speedup.low is None else speedup.low
    high = speedup.value if speedup.high is None else speedup.high
    size, memory = report.counted_bytes.ratio, report.peak_memory_bytes.ratio
    slow = f"It is {speedup.value:.2f}× as fast [{low:.2f}, {high:.2f}], while noise alone reaches {noise:.2f}×"
    if high >= UNKNOWN:
        slow = "Its speed is not known, because the time allowed too few runs"
    counted = (
        (weights.latency, low > noise, high * noise < 1, slow),
        (
            weights.size,
            size >= REAL_CHANGE,
            size * REAL_CHANGE < 1,
            f"{_sized(report)} is {size:.2f} times smaller",
        ),
        (
            weights.memory,
            memory >= REAL_MEMORY_CHANGE,
            memory * REAL_MEMORY_CHANGE < 1,
            f"It needs {1 / memory:.2f}× the memory",
        ),
    )
    untimed = report.latency.busy and weights.latency > 0
    relevant = [(better, worse, text) for weight, better, worse, text in counted[untimed:] if weight > 0]
    worse = [text for _, is_worse, text in relevant if is_worse]
    if worse:
        return f"{worse[0]}: worse than the original on what the objective {criteria.objective.value} counts."
    if untimed:
        return None
    if not any(better for better, _, _ in relevant) or score(report, criteria) <= 1:
        return (
            f"{'; '.join(text for *_, text in relevant)}: no real gain under the objective {criteria.objective.value}."
        )
    return None


def _sentence(verdict: ConstraintVerdict) -> str:
    """One constraint in a sentence with its numbers and, if it is undecided, what would decide it."""
    if verdict.status is Holds.INCONCLUSIVE and verdict.to_decide:
        return f"{with_full_stop(verdict.sentence)} {with_full_stop(verdict.to_decide)}"
    return with_full_stop(verdict.sentence)


def _summary(report: EvaluationReport) -> str:
    speedup = report.latency.speedup
    interval = "" if speedup.low is None or speedup.high is None else f" [{speedup.low:.2f}, {speedup.high:.2f}]"
    whose = f" ({gains_in_words(report.gains)})" if report.gains else ""
    fast = f"{speedup.value:.2f}× as fast{interval}{whose}"
    if report.latency.busy or (speedup.high or 0.0) >= UNKNOWN:
        fast = "speed not known"
    small = f"{report.counted_bytes.ratio:.2f} times smaller{_when(report)}"
    metric = moved(report.primary, report.examples, report.confidence)
    return f"{fast}, {small}, {report.primary.label} {metric}"


def _sized(report: EvaluationReport) -> str:
    return f"Its{report.counted_size.subject.removeprefix('the')}"


def _when(report: EvaluationReport) -> str:
    return report.counted_size.when


# --- choosing --------------------------------------------------------------------------------------------------------


def ranked(judged: Mapping[str, Judgement], links: Mapping[str, int] | None = None) -> tuple[str, ...]:
    """Keys of the candidates that may still be delivered, the best first.

    The highest score wins. Among scores within one per cent, the better speed and size together win; if these differ
    by less than the measured noise, the smallest loss wins, then the fewest `links`, then the key. Candidates that
    nothing speaks against come first.
    """
    left = {key: one for key, one in judged.items() if not one.ruled_out}
    order: list[str] = []
    while left:
        accepted = {key: one for key, one in left.items() if one.accepted}
        order.append(_top(accepted or left, links or {}))
        del left[order[-1]]
    return tuple(order)


def best(judged: Mapping[str, Judgement]) -> str | None:
    """The key of the best candidate; `None` if none is accepted."""
    accepted = {key: one for key, one in judged.items() if one.accepted}
    return _top(accepted, {}) if accepted else None


def bar(judged: Mapping[str, Judgement]) -> float:
    """The score that a further candidate must exceed to change the result; 1, the original's, if none is accepted.

    A candidate that meets every limit on few examples already raises it to its score. One that is still undecided
    raises it to its score less a tenth, because it may fail when it is judged.
    """
    return max(
        [1.0, *(one.score / (OPEN_PREMIUM if one.open_points else 1) for one in judged.values() if one.accepted)]
    )


def _top(those: Mapping[str, Judgement], links: Mapping[str, int]) -> str:
    limit = max(judgement.score for judgement in those.values()) * _TIE
    near = {key: judgement for key, judgement in those.items() if judgement.score >= limit}
    widest = max(near.values(), key=lambda one: one.overall)
    alike = [key for key, one in near.items() if one.overall * _noise_between(one, widest) >= widest.overall]
    return min(alike, key=lambda key: (those[key].drop, links.get(key, 0), key))


def _noise_between(one: Judgement, other: Judgement) -> float:
    """How far noise alone moves two measurements apart, as a factor."""
    return min(_MOST_NOISE, math.exp(math.hypot(math.log(one.noise), math.log(other.noise))))


def verdict_of(
    judged: Mapping[str, Judgement],
    titles: Mapping[str, str],
    criteria: Criteria,
    *,
    chosen: str | None = None,
    choice: Choice | None = None,
    unjudged: str = "",
    nearest: Nearest | None = None,
) -> Verdict:
    """How the session ends. `judged` has the latest judgement of each measured candidate, `titles` their names.

    `chosen` is the finalist that is delivered. `choice` is the statistical cost of choosing it. `unjudged` explains in
    sentences why finalists could not be judged. `nearest` is the measured candidate nearest to holding every limit.
    """
    misses = tuple(
        Miss(candidate=key, constraint=constraint, sentence=sentence)
        for key, judgement in judged.items()
        for constraint, sentence in judgement.misses
    )
    if chosen is None:
        verdict = _original_stands(judged, misses, criteria, choice, unjudged, nearest.candidate if nearest else None)
        return verdict.model_copy(update={"nearest": nearest})
    judgement = judged[chosen]
    return Verdict(
        outcome=Outcome.IMPROVED,
        candidate=chosen,
        reason=f"{chosen} ({titles[chosen]}) is delivered. {judgement.reason}",
        misses=misses,
        inconclusive=judgement.open_points,
        choice=choice,
        speed_unknown=judgement.speed_unknown,
    )


def _original_stands(
    judged: Mapping[str, Judgement],
    misses: tuple[Miss, ...],
    criteria: Criteria,
    choice: Choice | None,
    unjudged: str,
    nearest: str | None,
) -> Verdict:
    unjudged = f" {unjudged}" if unjudged else ""
    if not judged:
        return not_measured()
    if untimed := [key for key, judgement in judged.items() if judgement.only_untimed]:
        runs = sum(judged[key].timed_runs for key in untimed)
        verdict = too_busy(untimed, runs, sum(judged[key].disturbed_runs for key in untimed), misses, BUSY)
        return verdict.model_copy(update={"choice": choice, "reason": f"{verdict.reason}{unjudged}"})
    if not misses:
        reason = f"The original stands: no candidate could be judged, so none is proven to be better.{unjudged}"
        return Verdict(outcome=Outcome.UNCHANGED, reason=reason, choice=choice)
    binding = _binding(misses)
    stopped = {miss.candidate for miss in misses if miss.constraint == binding}
    failed = [key for key in judged if judged[key].misses]
    if nearest not in failed:
        nearest = min(failed, key=lambda key: (len(judged[key].misses), -judged[key].score))
    candidates = f"{len(judged)} measured candidate{'s' if len(judged) > 1 else ''}"
    reason = (
        f"The original stands: none of {candidates} is proven to be better and within every limit. "
        f"The most frequent obstacle is {_name(binding)} ({len(stopped)} of {len(judged)}). "
        f"{nearest} came closest: {judged[nearest].reason}{unjudged}"
    )
    offer = _offer(judged, criteria)
    return Verdict(outcome=Outcome.UNCHANGED, binding=binding, reason=reason + offer, misses=misses, choice=choice)


def _binding(misses: tuple[Miss, ...]) -> str:
    """The constraint that most candidates missed. In a tie, the first in `Constraints`; a missing gain comes last."""
    order = [*Constraints.model_fields, PLAUSIBILITY, BUSY, GAIN]
    counts = Counter(constraint for _, constraint in {(miss.candidate, miss.constraint) for miss in misses})
    return min(counts, key=lambda constraint: (-counts[constraint], order.index(constraint)))


def _offer(judged: Mapping[str, Judgement], criteria: Criteria) -> str:
    """A pointer to a candidate that is only smaller, if speed was the goal."""
    if criteria.objective is Objective.SIZE:
        return ""
    smaller = [
        key
        for key, judgement in judged.items()
        if judgement.smaller and {constraint for constraint, _ in judgement.misses} <= _SPEED
    ]
    if not smaller:
        return ""
    key = max(smaller, key=lambda key: judged[key].overall)
    return f" {key} misses only the speed ({judged[key].summary}): the objective size would accept its smaller file."


_SPEED = SPEED_CONSTRAINTS | {GAIN, BUSY}


_NAMES: Mapping[str, str] = {
    "max_metric_drop_points": "the limit on the metric's loss",
    "max_metric_drop_relative": "the limit on the metric's relative loss",
    "max_metric_drop_unit": "the limit on the metric's loss",
    "max_group_drop_points": "the limit on a group's loss",
    "metric_limits": "the limit on another metric's loss",
    "output_limits": "the limit on a further output's loss",
    "max_output_deviation": "the limit on the other outputs",
    "max_group_drop_unit": "the limit on a group's loss",
    "max_class_drop_points": "the limit on a class's loss",
    "max_latency_ms": "the limit on latency",
    "min_speedup": "the required speed-up",
    "max_size_bytes": "the limit on size",
    "min_size_reduction": "the required reduction of size",
    "max_memory_bytes": "the limit on memory",
    PLAUSIBILITY: "the plausibility of the gain",
    BUSY: "that the machine was too busy to time it",
    GAIN: "that there is no real gain",
}


def _name(constraint: str) -> str:
    return _NAMES.get(constraint, constraint)
