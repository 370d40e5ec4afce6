"""Chooses the finalists among the ranked candidates, and the delivered one among the judged finalists.

Ranking uses the validation part of the data set. Judging uses the test part, on which nothing was tuned or chosen. So a
finalist's result there is not biased by the choice. The finalists share the chance of error, because several may be
judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.phrasing import difference, difference_unit, listed, with_unit
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.selection import Contest, Corrected
from apps.agents.contracts.state import Choice
from apps.agents.evaluation.selection import METRIC_CONSTRAINTS, Judgement, Standing, judge, ranked
from apps.agents.evaluation.verdicts import overall
from apps.agents.measuring.statistics.certainty import HOPELESS, Contender, Prospect, proven_by_holm, shared_confidence
from apps.agents.session.candidates import Ruling, Trial

TOLERATED_SHARE = 0.5
"""The share of a limit on the metric that the measured loss may reach if the evidence is inconclusive."""
USUAL_SHARE = 0.25
"""Validation examples per test example, if a report does not give the numbers."""


def contenders(trials: Mapping[str, Trial], criteria: Criteria) -> tuple[Contender, ...]:
    """The candidates that may be judged, the best first: accepted ones, and ones that more examples may prove."""
    judgements = {key: trial.judgement for key, trial in trials.items() if trial.judgement is not None}
    links = {key: sum(not link.optional for link in trials[key].planned.steps) for key in judgements}
    order = ranked(judgements, links)
    found = (_contender(trials[key], judgements[key].score) for key in order)
    return tuple(one for one in found if judgements[one.key].accepted or one.chance(criteria.confidence) >= HOPELESS)


def _contender(trial: Trial, score: float) -> Contender:
    report = trial.report
    assert report is not None, "ranked by its report"
    share = report.examples / report.judging_examples if report.judging_examples else USUAL_SHARE
    prospects = tuple(
        Prospect(verdict.measured, verdict.limit, report.confidence, share)
        for verdict in report.constraints
        if verdict.constraint in METRIC_CONSTRAINTS
    )
    return Contender(trial.key, score, prospects)


@dataclass(frozen=True)
class Finals:
    """The finalists of a session, the highest ranked first, and the results of judging them so far."""

    keys: tuple[str, ...]
    trials: Mapping[str, Trial]
    """Every candidate of the session."""
    criteria: Criteria
    before: int = 0
    """How many candidates were judged on the same examples in the sessions that this one continues. They keep their
    part of the chance of error, whatever came of them."""

    @property
    def sharing(self) -> int:
        """How many share the chance of error: these finalists, and what was judged before."""
        return self.before + len(self.keys)

    @property
    def unasked(self) -> tuple[str, ...]:
        """Finalists whose judging has not been requested yet."""
        return tuple(key for key in self.keys if self.trials[key].judge is None)

    @property
    def judged(self) -> tuple[str, ...]:
        return tuple(key for key in self.keys if self.trials[key].judged is not None)

    def _decided(self, key: str) -> bool:
        return self.trials[key].judged is not None or self.trials[key].failed_judging is not None

    @cached_property
    def proven(self) -> Mapping[str, int]:
        """Finalists that are proven to hold every limit, each with the number that shared the chance of error then."""
        held = {key: self._held(key) for key in self.judged}
        return proven_by_holm(held, self.sharing)

    def _held(self, key: str) -> tuple[bool, ...]:
        """Whether it holds every limit if all finalists share the chance of error, if one fewer does, and so on."""
        steps = range(self.sharing, self.before, -1)
        return tuple(self._judged_at(key, sharing).standing is Standing.PROVEN for sharing in steps)

    def _judged_at(self, key: str, sharing: int) -> Judgement:
        trial = self.trials[key]
        report = trial.judged
        assert report is not None, "judged"
        return judged_after(trial.report, at_level(report, sharing), self.criteria)

    @cached_property
    def judgements(self) -> Mapping[str, Judgement]:
        """The judgement of each finalist that was judged."""
        return {key: self._judged_at(key, self._sharing(key)) for key in self.judged}

    def chosen(self, *, closed: bool) -> str | None:
        """The key of the delivered finalist; `None` while that is open, or if there is none.

        It is the highest ranked proven finalist, as soon as all that rank above it are judged. If none is proven, it is
        the highest ranked one whose open points the criteria tolerate; all finalists are judged before. Once `closed`,
        no further finalist is judged.
        """
        for key in self.keys:
            if key in self.proven:
                return key
            if not self._decided(key) and not closed:
                return None
        return next((key for key, judgement in self.judgements.items() if judgement.accepted), None)

    # --- words --------------------------------------------------------------------------------------------------------

    def rulings(self, chosen: str | None, *, closed: bool) -> dict[str, Ruling]:
        """The results of the judged candidates and, once `closed`, of accepted candidates that were not judged."""
        found = {key: self._ruling(key, judgement) for key, judgement in self.judgements.items()}
        if not closed:
            return found
        for key, trial in self.trials.items():
            if key not in found and trial.judgement is not None and trial.judgement.accepted:
                reason = f"{trial.judgement.reason} Not judged: {self._why_not(key, chosen)}."
                found[key] = Ruling(reason, None, stands=True)
        return found

    def _ruling(self, key: str, judgement: Judgement) -> Ruling:
        on = f"Judged on {judgement.examples:,} test examples, which played no part in the choice."
        return Ruling(f"{on} {judgement.reason}", judgement, stands=judgement.accepted)

    def _why_not(self, key: str, chosen: str | None) -> str:
        if chosen is not None:
            return f"{chosen} is delivered"
        if key in self.keys:
            return "the time was over"
        few = "one candidate is" if len(self.keys) == 1 else f"{len(self.keys)} candidates are"
        return f"only {few} judged with this many examples, and {listed(self.keys)} ranked higher"

    def report_of(self, key: str) -> EvaluationReport | None:
        """A finalist's evaluation on the test part, at the confidence at which it was proven."""
        report = self.trials[key].judged
        return None if report is None else at_level(report, self._sharing(key))

    def _sharing(self, key: str) -> int:
        return self.proven.get(key, self.sharing)

    def choice(self, chosen: str | None) -> Choice | None:
        """The cost of the choice; `None` if no finalist could be judged."""
        if not self.judged:
            return None
        shown = chosen or self.judged[0]
        report = self.trials[shown].judged
        measured = [trial.report for trial in self.trials.values() if trial.report is not None]
        assert report is not None, "judged"
        unit = difference_unit(report.primary.unit)
        alone, shared = (_half(at_level(report, count).primary.drop) for count in (1, self._sharing(shown)))
        choice = Choice(
            tried=len(measured),
            choosing_examples=max(one.examples for one in measured),
            finalists=self.keys,
            earlier=self.before,
            judged=len(self.judged),
            judging_examples=report.examples,
            sharing=self._sharing(shown),
            confidence=shared_confidence(self.criteria.confidence, self._sharing(shown)),
            margin_alone=alone,
            margin=shared,
            unit=unit,
            contest=self._contest,
            sentence="",
        )
        return choice.model_copy(update={"sentence": in_words(choice)})

    @property
    def _contest(self) -> Contest | None:
        """The correction from the finalist that was judged last, which includes all that were judged before."""
        reports: list[EvaluationReport] = [one for key in self.judged if (one := self.trials[key].judged) is not None]
        return next((report.contest for report in reversed(reports) if report.contest is not None), None)


def judged_after(choosing: EvaluationReport | None, judging: EvaluationReport, criteria: Criteria) -> Judgement:
    """The judgement of a candidate from the test part, which was ranked by `choosing`."""
    if not tolerable(choosing, judging):
        criteria = criteria.model_copy(update={"accept_inconclusive": False})
    return judge(judging, criteria)


def tolerable(choosing: EvaluationReport | None, judging: EvaluationReport) -> bool:
    """Whether inconclusive evidence on the metric may be tolerated: over both parts together, the measured loss is at
    most a share of each limit.

    The mean over all examples varies least. So fewer candidates that really break the limit pass than with one part
    only, and more of those that lose nothing.
    """
    before = {one.key: one.measured.value for one in choosing.constraints} if choosing else {}
    examples = choosing.examples if choosing else 0
    for verdict in judging.constraints:
        if verdict.constraint not in METRIC_CONSTRAINTS or verdict.status is Holds.HOLDS:
            continue
        value = verdict.measured.value
        first = before.get(verdict.key, value)
        pooled = (first * examples + value * judging.examples) / (examples + judging.examples)
        if pooled > TOLERATED_SHARE * verdict.limit:
            return False
    return True


def at_level(report: EvaluationReport, sharing: int) -> EvaluationReport:
    """`report` with the verdicts on the metric's limits that apply if `sharing` finalists share the chance of error."""
    level = next((level for level in report.levels if level.sharing == sharing), None)
    if level is None or level is report.levels[0]:
        return report
    primary = report.primary.model_copy(update={"drop": level.drop})
    found = {one.key: one for one in level.constraints}
    constraints = tuple(found.get(one.key, one) for one in report.constraints)
    return report.model_copy(
        update={
            "metrics": (primary, *report.metrics[1:]),
            "constraints": constraints,
            "verdict": overall(constraints),
        }
    )


def _half(drop: Estimate) -> float | None:
    if drop.low is None or drop.high is None or drop.low == drop.high:
        return None
    return (drop.high - drop.low) / 2


def in_words(choice: Choice) -> str:
    """How many candidates were tried and judged, on how many examples, and how this affected the interval and the
    winner's numbers."""
    many = len(choice.finalists)
    finalists = "the best" if many == 1 else f"of {many} finalists {choice.judged}"
    finalists = f"{many} finalists" if 1 < many == choice.judged else finalists
    tried = f"{choice.tried} candidates were" if choice.tried > 1 else "One candidate was"
    sentences = [
        f"{tried} tried on {choice.choosing_examples:,} validation examples, and {finalists} "
        f"{'were' if choice.judged > 1 else 'was'} judged on {choice.judging_examples:,} "
        "test examples, which played no part in the choice."
    ]
    if choice.earlier:
        sentences.append(_judged_before(choice.earlier))
    if choice.sharing > 1 and choice.margin is not None and choice.margin_alone is not None:
        alone, shared = difference(choice.margin_alone, choice.unit), with_unit(choice.margin, choice.unit)
        sentences.append(f"That {choice.sharing} may be judged widened the loss's interval from ±{alone} to ±{shared}.")
    if choice.contest:
        sentences.append(_corrected("Ranking alone would have claimed", choice.contest.choosing))
        sentences.append(_corrected("Among the finalists that were judged it shows", choice.contest.evaluation))
        sentences.append(choice.contest.note)
    return " ".join(filter(None, sentences))


def _judged_before(count: int) -> str:
    judged = f"{count} candidates were" if count > 1 else "One candidate was"
    return (
        f"{judged} judged on these examples before, in what this session continues, and "
        f"{'share' if count > 1 else 'shares'} the chance of error."
    )


def _corrected(claim: str, found: Corrected | None) -> str:
    """The claim and its correction; empty if luck did not improve the numbers."""
    if found is None or not found.lucky:
        return ""
    plain, worth = _loss(found.plain, found.unit), _loss(found.corrected, found.unit)
    luck = f"the luck of having come out best of {found.among}"
    return f"{claim} {plain} for {found.candidate}; without {luck} it is {worth}."


def _loss(drop: float, unit: str) -> str:
    if difference(drop, unit) == "0":
        return "no loss"
    return f"a {'loss' if drop > 0 else 'gain'} of {with_unit(abs(drop), unit)}"
