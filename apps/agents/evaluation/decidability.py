"""What a session's data can decide, in sentences, before the session starts. The numbers come from `statistics.power`.

Fast enough for the web process. Uses what earlier sessions measured on the same model and data, if anything. Otherwise
it assumes shares of discordant examples that are typical of small and large changes to a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import METRICS, DatasetSpec, Metric, evaluation_count, metric_by_group
from apps.agents.contracts.loss_limits import for_task, limit_in_words
from apps.agents.contracts.phrasing import capitalized, difference_unit, number, with_unit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.metrics import POINT_UNITS, MetricComparison
from apps.agents.contracts.values import Value
from apps.agents.measuring.statistics import power
from apps.agents.measuring.statistics.certainty import quantile

ASSUMED_SHARES = (0.01, 0.03, 0.1)
"""Assumed shares of discordant examples: careful quantization, aggressive quantization, pruning or replacement."""
NEVER = 0.005
"""A probability below this is shown as less than 1 %."""
SHARES = frozenset({Metric.TOP1, Metric.TOP5, Metric.ACCURACY, Metric.ACCURACY_PER_CHARACTER, Metric.LAST_WORD})
"""Metrics of right and wrong answers, whose drop has Tango's interval."""


class Decides(StrEnum):
    YES = "yes"
    DEPENDS = "depends"
    """It depends on how many answers a candidate changes."""
    NO = "no"
    UNKNOWN = "unknown"
    NO_LIMIT = "no_limit"


_HARDEST_LAST = (Decides.NO_LIMIT, Decides.YES, Decides.UNKNOWN, Decides.DEPENDS, Decides.NO)


class Reach(Value):
    """What can be decided for candidates that change this share of the answers."""

    discordant_share: float | None
    """Share of examples that only one of the two models gets right; `None` if the metric is not a share."""
    smallest_drop: float
    """The smallest limit that a candidate without any loss provably meets in four of five sessions, in `unit`."""
    undecided: float | None = None
    """How often a candidate without any loss stays inconclusive, 0 to 1; `None` without a limit."""
    examples_needed: int | None = None
    """Test examples needed to decide in four of five sessions."""
    dataset_needed: int | None = None
    """Size of the whole data set that yields this many test examples."""


class GroupReach(Value):
    """What can be decided for the group with the fewest examples, which determines the limit on every group's loss."""

    group: str
    examples: int
    """About how many of its examples judge."""
    groups: int
    limit: float
    undecided: tuple[float, ...]
    """How often it stays inconclusive for a candidate without any loss, 0 to 1: one entry for each of `reaches`."""
    decides: Decides
    sentence: str


class MetricReach(Value):
    """What can be decided about the limit on a further metric, or on a further output by its labels."""

    metric: str
    output: str = ""
    """The further output; empty for the judged one."""
    limit: float
    unit: str
    undecided: tuple[float, ...]
    """How often it stays inconclusive for a candidate without any loss, 0 to 1: one entry for each of its reaches."""
    decides: Decides
    sentence: str


class Decidability(Value):
    decides: Decides
    """For the limit on the primary metric."""
    every_limit: Decides
    """For that limit on a loss which is the hardest to decide: also on further metrics, on groups and on classes."""
    metric: str
    unit: str
    """Unit of `limit` and of every drop; empty for the label's own unit."""
    confidence: float
    examples: int
    """Number of examples that judge."""
    limit: float | None
    reaches: tuple[Reach, ...]
    measured: int
    """Number of candidates from earlier sessions that the numbers come from; 0 if shares are assumed."""
    sentence: str
    advice: str = ""
    smallest_group: GroupReach | None = None
    """Set if the criteria limit the loss of every group and the metric counts right and wrong answers."""
    smallest_class: GroupReach | None = None
    """The same for classes: set if the criteria limit the loss of every class, and their examples are counted."""
    further: tuple[MetricReach, ...] = ()
    """One entry for each limited further metric that the task measures, and each limited output with labels."""
    loss_limit: str = ""
    """The limit that holds for the metric, in words and in its unit."""


class Earlier(NamedTuple):
    """What an evaluation of the same model on the same data predicts for later ones."""

    original: float
    """The original's value of the primary metric, in the unit that `METRICS` shows."""
    discordant: float | None = None
    spread: float | None = None
    """Standard error of the drop times the square root of the number of examples, in the metric's unit."""
    further: tuple[tuple[str, Earlier], ...] = ()
    """The same for each further metric, by its name, and for further outputs with labels."""


def earlier_of(report: EvaluationReport) -> Earlier:
    """The part of `report` that is used: the discordant share for metrics of right and wrong, else the spread."""
    primary, examples = report.primary, report.examples
    found = _earlier_of(primary, examples, report.confidence)
    if primary.metric == Metric.TOP1 and found.discordant is None and report.flips is not None:
        found = Earlier(primary.original.value, discordant=(report.flips.lost + report.flips.won) / examples)
    named = [(one.metric, one) for one in report.metrics[1:]]
    named += [(_key(one.output, one.primary.metric), one.primary) for one in report.labelled_outputs]
    others = tuple((name, _earlier_of(one, examples, report.confidence)) for name, one in named)
    return found._replace(further=others)


def _key(output: str, metric: str) -> str:
    return f"{output}/{metric}"


def _earlier_of(metric: MetricComparison, examples: int, confidence: float) -> Earlier:
    original, drop = metric.original.value, metric.drop
    if metric.lost is not None and metric.won is not None:
        return Earlier(original, discordant=(metric.lost + metric.won) / examples)
    if drop.low is None or drop.high is None:
        return Earlier(original)
    width = (drop.high - drop.low) / (2 * quantile(confidence))
    return Earlier(original, spread=width * math.sqrt(examples))


def decidability(
    spec: DatasetSpec,
    examples: int,
    criteria: Criteria,
    earlier: Sequence[Earlier] = (),
    groups: Mapping[str, int] = MappingProxyType({}),
    classes: Mapping[str, int] = MappingProxyType({}),
) -> Decidability:
    """What a session on `examples` examples (of the whole data set) can decide about the limits on the metric's loss.

    `groups` and `classes` map each group or class to its number of examples in the whole data set.
    """
    criteria = for_task(criteria, spec)
    question = _Question(spec, examples, criteria, tuple(earlier))
    reaches, measured = question.reaches()
    decides = _decides(question.limit, reaches)
    sentence, advice = _sentence_and_advice(question, decides, reaches, measured)
    group = _smallest_group(question, examples, groups, reaches)
    by_class = _smallest_class(question, examples, classes, reaches)
    further = (*_further(question, examples), *_further_outputs(question, examples))
    parts = [one.decides for one in (group, by_class) if one is not None]
    return Decidability(
        decides=decides,
        every_limit=max((decides, *parts, *(one.decides for one in further)), key=_HARDEST_LAST.index),
        metric=METRICS[question.metric].label,
        unit=question.unit,
        confidence=criteria.confidence,
        examples=question.examples,
        limit=question.limit,
        reaches=reaches,
        measured=measured,
        sentence=sentence,
        advice=advice,
        smallest_group=group,
        smallest_class=by_class,
        further=further,
        loss_limit=limit_in_words(criteria, spec, question.original),
    )


def _smallest_group(
    question: _Question, examples: int, groups: Mapping[str, int], reaches: Sequence[Reach]
) -> GroupReach | None:
    limit = question.criteria.constraints.group_limit
    by_group = metric_by_group(question.spec.task, question.metric)
    if limit is None or len(groups) < 2 or by_group not in SHARES:
        return None
    return _smallest(question, examples, groups, reaches, limit, "groups")


def _smallest_class(
    question: _Question, examples: int, classes: Mapping[str, int], reaches: Sequence[Reach]
) -> GroupReach | None:
    limit = question.criteria.constraints.max_class_drop_points
    if limit is None or len(classes) < 2 or question.spec.task is not Task.CLASSIFICATION:
        return None
    return _smallest(question, examples, classes, reaches, limit, "classes")


def _smallest(
    question: _Question,
    examples: int,
    groups: Mapping[str, int],
    reaches: Sequence[Reach],
    limit: float,
    plural: str,
) -> GroupReach:
    """What can be decided for the smallest of the `groups`, which are groups or classes (`plural`)."""
    group = min(groups, key=lambda name: groups[name])
    judging = max(1, groups[group] * question.examples // examples)
    confidence = 1 - (1 - question.criteria.confidence) / len(groups)
    shares = [one.discordant_share for one in reaches if one.discordant_share is not None] or list(ASSUMED_SHARES)
    undecided = tuple(power.chances(judging, min(1.0, limit / 100), share, confidence).undecided for share in shares)
    good = [one <= 1 - power.ASSURED for one in undecided]
    return GroupReach(
        group=group,
        examples=judging,
        groups=len(groups),
        limit=limit,
        undecided=undecided,
        decides=Decides.YES if all(good) else Decides.DEPENDS if any(good) else Decides.NO,
        sentence=f"Of {len(groups):,} {plural}, {group} is the smallest: about {judging:,} of its examples judge. "
        f"Whether it loses more than {with_unit(limit, 'points')} stays inconclusive in {_span(undecided)} for "
        "a candidate without any loss.",
    )


def _further(question: _Question, examples: int) -> Iterator[MetricReach]:
    """What can be decided about each further metric that has a limit and that the task measures."""
    for metric, limit in question.criteria.constraints.metric_limits.items():
        if metric not in question.spec.metric_choices:
            continue
        known = [dict(one.further) for one in question.earlier]
        earlier = tuple(found for one in known if (found := one.get(metric)) is not None)
        if metric == question.metric:
            earlier = question.earlier
        yield _reach(_Question(question.spec, examples, question.criteria, earlier, metric, limit))


def _further_outputs(question: _Question, examples: int) -> Iterator[MetricReach]:
    """What can be decided about each limited output that has labels of its own."""
    for output, limit in question.criteria.constraints.output_limits.items():
        if output not in question.spec.output_labels:
            continue
        spec = question.spec.of_output(output)
        known = [dict(one.further) for one in question.earlier]
        key = _key(output, spec.primary_metric)
        earlier = tuple(found for one in known if (found := one.get(key)) is not None)
        yield _reach(_Question(spec, examples, question.criteria, earlier, limit=limit), output)


def _reach(question: _Question, output: str = "") -> MetricReach:
    reaches, _ = question.reaches()
    decides = _decides(question.limit, reaches)
    undecided = tuple(one.undecided or 0.0 for one in reaches)
    label = METRICS[question.metric].label
    return MetricReach(
        metric=label,
        output=output,
        limit=question.limit or 0.0,
        unit=question.unit,
        undecided=undecided,
        decides=decides,
        sentence=_sentence_on_further(question, decides, undecided, f"{label} of {output}" if output else label),
    )


def _sentence_on_further(question: _Question, decides: Decides, undecided: Sequence[float], label: str) -> str:
    limit = with_unit(question.limit or 0.0, question.unit)
    if not question.limit:
        return f"No number of examples can prove a loss of {label} of exactly 0: allow a small loss."
    if decides is Decides.UNKNOWN:
        return f"How small a loss of {label} can be excluded is unknown until a candidate has been measured."
    return (
        f"Whether {label} loses more than {limit} stays inconclusive in {_span(undecided)} for a candidate without any "
        "loss."
    )


class _Question:
    """What `examples` of a data set can decide about a metric, by default the primary one, and its limit."""

    def __init__(
        self,
        spec: DatasetSpec,
        examples: int,
        criteria: Criteria,
        earlier: tuple[Earlier, ...],
        metric: Metric | None = None,
        limit: float | None = None,
    ) -> None:
        self.spec, self.criteria, self.earlier = spec, criteria, earlier
        self.metric = metric or spec.primary_metric
        self.unit = difference_unit(spec.unit_of(self.metric))
        self.factor = 100.0 if METRICS[self.metric].unit in POINT_UNITS else 1.0
        self.examples = evaluation_count(examples, spec.training_share)
        self.limit = self._limit() if limit is None else limit

    def _limit(self) -> float | None:
        """The tighter of the two limits on the loss, in the metric's unit. An unknown original counts as 100."""
        limits = self.criteria.constraints
        given = [] if limits.drop_limit is None else [limits.drop_limit]
        if limits.max_metric_drop_relative is not None:
            original = self.original or (100.0 if self.factor == 100 else None)
            if original is not None:
                given.append(limits.max_metric_drop_relative * original)
        return min(given) if given else None

    @property
    def original(self) -> float | None:
        """The original's value of the metric, as an earlier session measured it; `None` if it is not known."""
        return next((one.original for one in self.earlier if one.original > 0), None)

    def reaches(self) -> tuple[tuple[Reach, ...], int]:
        """One entry for each share of discordant examples (or spread), and how many candidates measured them."""
        if self.examples < 1:
            return (), 0
        if self.metric is Metric.AGREEMENT:
            # Such a candidate changes no answer, and then Wilson's interval equals Tango's.
            return (self._of_share(0.0),), 0
        if self.metric in SHARES:
            shares = sorted(one.discordant for one in self.earlier if one.discordant is not None)
            chosen = _typical_and_largest(shares) if shares else ASSUMED_SHARES
            return tuple(map(self._of_share, chosen)), len(shares)
        spreads = sorted(one.spread for one in self.earlier if one.spread)
        return tuple(map(self._of_spread, _typical_and_largest(spreads))), len(spreads)

    def _of_share(self, share: float) -> Reach:
        confidence = self.criteria.confidence
        smallest = power.smallest_limit(self.examples, share, confidence) * self.factor
        if self.limit is None:
            return Reach(discordant_share=share, smallest_drop=smallest)
        limit = min(1.0, self.limit / self.factor)
        return self._with_need(
            share,
            smallest,
            power.chances(self.examples, limit, share, confidence).undecided,
            power.examples_needed(limit, share, confidence),
        )

    def _of_spread(self, spread: float) -> Reach:
        confidence, error = self.criteria.confidence, spread / math.sqrt(self.examples)
        smallest = power.normal_smallest_limit(error, confidence)
        if self.limit is None:
            return Reach(discordant_share=None, smallest_drop=smallest)
        held = power.normal_holds(self.limit, error, confidence)
        return self._with_need(None, smallest, 1 - held, power.normal_examples_needed(self.limit, spread, confidence))

    def _with_need(self, share: float | None, smallest: float, undecided: float, needed: int | None) -> Reach:
        return Reach(
            discordant_share=share,
            smallest_drop=smallest,
            undecided=undecided,
            examples_needed=needed,
            dataset_needed=None if needed is None else dataset_for(needed, self.spec.training_share),
        )


def dataset_for(evaluation: int, training_share: float = 0.0) -> int:
    """How many examples a data set must have so that `evaluation` of them judge."""
    low, high = 0, max(1, evaluation)
    while evaluation_count(high, training_share) < evaluation:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if evaluation_count(middle, training_share) >= evaluation else (middle, high)
    return high


def _typical_and_largest(values: Sequence[float]) -> tuple[float, ...]:
    """The median and the largest of sorted values; one value if they are equal."""
    if not values:
        return ()
    return tuple(dict.fromkeys((values[len(values) // 2], values[-1])))


def _decides(limit: float | None, reaches: Sequence[Reach]) -> Decides:
    if limit is None:
        return Decides.NO_LIMIT
    if limit <= 0:
        return Decides.NO
    if not reaches:
        return Decides.UNKNOWN
    good = [(one.undecided or 0.0) <= 1 - power.ASSURED for one in reaches]
    return Decides.YES if all(good) else Decides.DEPENDS if any(good) else Decides.NO


# --- in words ---------------------------------------------------------------------------------------------------------


def _sentence_and_advice(
    question: _Question, decides: Decides, reaches: Sequence[Reach], measured: int
) -> tuple[str, str]:
    """The sentence shown first, and what to do if the data cannot decide."""
    examples = f"{question.examples:,} examples judge"
    if decides is Decides.NO and not question.limit:
        return (
            f"{examples}, but no number of examples can prove a loss of exactly 0: not even a candidate without any "
            "loss could be shown to meet this limit.",
            "Allow a small loss.",
        )
    if not reaches:
        label = METRICS[question.metric].label
        return (
            f"{examples}. How small a loss of {label} they can exclude is unknown until a candidate has been "
            "measured: it depends on how much single examples change, and no session has measured this model on this "
            "data.",
            "",
        )
    if decides is Decides.NO_LIMIT:
        return f"{examples}: {_smallest_losses(question, reaches)}. The criteria set no limit on the loss.", ""
    limit = f"the limit of {with_unit(question.limit or 0.0, question.unit)}"
    stuck = _undecided(question, reaches, measured)
    if decides is Decides.YES:
        return f"{examples}, enough for {limit}: {stuck}.", ""
    if decides is Decides.DEPENDS:
        best = max(one.discordant_share or 0.0 for one in reaches if (one.undecided or 0.0) <= 1 - power.ASSURED)
        where = f" if a candidate changes {_percent(best)} of the answers, but not if it changes more" if best else ""
        return f"{examples}, enough for {limit}{where}: {stuck}.", _advice(question, reaches)
    return f"{examples}, too few for {limit}: {stuck}.", _advice(question, reaches)


def _undecided(question: _Question, reaches: Sequence[Reach], measured: int) -> str:
    often = f"stays inconclusive in {_span([one.undecided or 0.0 for one in reaches])}"
    if question.metric is Metric.AGREEMENT:
        return f"a candidate that changes no answer {often}"
    if measured:
        those = f"the {measured} of earlier sessions" if measured > 1 else "the one of an earlier session"
        return f"a candidate without any loss that changes as many answers as {those} {often}"
    low, high = ASSUMED_SHARES[0] * 100, ASSUMED_SHARES[-1] * 100
    return (
        f"a candidate without any loss {often}, depending on how many answers it changes between right and wrong "
        f"({low:.0f} to {high:.0f} %)"
    )


def _span(shares: Sequence[float]) -> str:
    low, high = _percent(min(shares)), _percent(max(shares))
    if low == high:
        return f"{low} of sessions"
    return f"{'up' if min(shares) < NEVER else low.removesuffix(' %')} to {high} of sessions"


def _smallest_losses(question: _Question, reaches: Sequence[Reach]) -> str:
    drops = [with_unit(round_up(one.smallest_drop), question.unit) for one in reaches]
    if drops[0] == drops[-1]:
        return f"losses of {drops[0]} or more can be excluded"
    return (
        f"losses of {drops[0]} to {drops[-1]} or more can be excluded, depending on how many answers a candidate "
        "changes"
    )


def _advice(question: _Question, reaches: Sequence[Reach]) -> str:
    needs = [one.dataset_needed for one in reaches if one.dataset_needed is not None]
    more = f"About {number(_rough(needs[0]))} examples in the data set would be enough" if needs else ""
    if len(needs) > 1 and _rough(needs[-1]) != _rough(needs[0]):
        more = (
            f"About {number(_rough(needs[0]))} to {number(_rough(needs[-1]))} examples in the data set would be enough"
        )
    largest = max(one.smallest_drop for one in reaches)
    ease = f"a limit of {with_unit(round_up(largest), question.unit)}"
    what_helps = f"{more}, or {ease}." if more else f"{capitalized(ease)} would be enough."
    if question.criteria.accept_inconclusive:
        return f"{what_helps} With these criteria, an unproven candidate may be delivered, and the report says so."
    return f"{what_helps} With these criteria, only proven candidates are delivered."


def round_up(value: float) -> float:
    """Round up to two significant digits, so that the stated limit can be met."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / step - 1e-9) * step


def _rough(examples: int) -> int:
    return int(round_up(examples))


def _percent(share: float) -> str:
    return "less than 1 %" if share < NEVER else f"{100 * share:.0f} %"
