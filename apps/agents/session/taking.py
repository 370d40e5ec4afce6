"""A member takes another measured candidate: whether that may be, which steps follow, and how it ends.

The request is stored in the parameters of the steps that it leads to, so everything follows from the state. A candidate
that was judged and holds the limits is packed at once. Any other that is accepted is judged on the test examples first
(`further_look`), and delivered only if it holds every limit. If not, or if a step fails, what was delivered stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from apps.agents.contracts.phrasing import difference, difference_unit, listed, number, with_unit
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from apps.agents.contracts.state import (
    AgentDecision,
    CandidateRecord,
    Closing,
    Decision,
    Phase,
    SessionState,
    Status,
    StepKind,
    StepRecord,
    StepRequest,
    Verdict,
)
from apps.agents.contracts.taking import TAKING, Taken, Taking
from apps.agents.evaluation.pareto import apart
from apps.agents.evaluation.selection import REAL_CHANGE, Judgement, verdict_of
from apps.agents.measuring.statistics.certainty import shared_confidence
from apps.agents.session.audit_events import EVALUATION_AGENT, MANAGER
from apps.agents.session.candidates import Ruling, Trial
from apps.agents.session.further_look import FurtherLook, further_keys, sharing_of
from apps.agents.session.headline import headline_of
from apps.agents.session.preparation import measuring_queue
from apps.agents.session.search import Search
from apps.agents.session.steps import LOST, PLAN, Steps, starting_from
from apps.agents.techniques.catalogue import TechniqueSpec


class NotTakable(ValueError):
    """Why a candidate cannot be taken, as a clause."""


class TakingResult(StrEnum):
    OPEN = "open"
    DELIVERED = "delivered"
    REFUSED = "refused"
    """It was judged and breaks a limit, or is not proven to hold one."""
    FAILED = "failed"
    """A step failed or was cancelled."""


def judge_taken_key(number: int) -> str:
    """The key of the step that judges the candidate of the request `number`."""
    return f"take-{number}/judge"


def package_taken_key(number: int, *, untried: bool = False) -> str:
    """The key of the step that packs the candidate of the request `number`."""
    return f"take-{number}/package{'-untried' if untried else ''}"


@dataclass(frozen=True)
class Take:
    """One request with its steps."""

    taking: Taking
    judge: StepRecord | None
    package: StepRecord | None
    """The step that packs it, the latest one that was requested."""

    @property
    def report(self) -> EvaluationReport | None:
        """What judged it, if that was needed and is done."""
        done = self.judge is not None and self.judge.status is Status.COMPLETED
        return EvaluationReport.model_validate(self.judge.result) if done and self.judge else None

    @property
    def lost(self) -> StepRecord | None:
        """The step that ended it, if one failed or was cancelled."""
        untried = package_taken_key(self.taking.number, untried=True)
        if self.judge is not None and self.judge.status in LOST:
            return self.judge
        ended = self.package is not None and self.package.status in LOST
        final = ended and self.package is not None
        if final and self.package and (self.package.request.key == untried or self.package.status is Status.CANCELLED):
            return self.package
        return None

    @property
    def delivered(self) -> bool:
        return self.package is not None and self.package.status is Status.COMPLETED

    @property
    def closing(self) -> Closing | None:
        return Closing.model_validate(self.package.request.parameters) if self.package else None


def takes_of(steps: Steps) -> tuple[Take, ...]:
    """Every request of a session, in order."""
    found: dict[int, Taking] = {}
    for step in steps.by_key.values():
        if (given := step.request.parameters.get(TAKING)) is not None:
            taking = Taking.model_validate(given)
            found[taking.number] = taking
    return tuple(_take(found[number], steps) for number in sorted(found))


def _take(taking: Taking, steps: Steps) -> Take:
    untried = steps.get(package_taken_key(taking.number, untried=True))
    package = untried or steps.get(package_taken_key(taking.number))
    return Take(taking, steps.get(judge_taken_key(taking.number)), package)


@dataclass(frozen=True)
class Takings:
    """The requests of a session that has had a verdict. Everything follows from `state`."""

    state: SessionState
    specs: Mapping[str, TechniqueSpec]

    @cached_property
    def steps(self) -> Steps:
        return Steps.of(self.state)

    @cached_property
    def search(self) -> Search:
        """The session as its plan saw it: what workers have installed since does not change what was made."""
        plan = self.steps.get(PLAN)
        known = plan.request.parameters if plan else {}
        then: dict[str, object] = {
            name: tuple(known[name]) for name in ("libraries", "disabled_techniques") if name in known
        }
        return Search(self.state.model_copy(update=then), self.specs)

    @cached_property
    def takes(self) -> tuple[Take, ...]:
        return takes_of(self.steps)

    # --- what stands -------------------------------------------------------------------------------------------------

    @cached_property
    def first(self) -> Closing:
        """How the manager closed the session."""
        package = self.steps.package
        assert package is not None, "the session has had a verdict"
        return Closing.model_validate(package.request.parameters)

    @property
    def standing(self) -> Closing:
        """The latest decision whose package was made."""
        made = [take.closing for take in self.takes if take.delivered and take.closing]
        return made[-1] if made else self.first

    # --- a new request -----------------------------------------------------------------------------------------------

    def begin(self, candidate: str, by: str, *, file_missing: bool) -> StepRequest:
        """The first step of a new request. `file_missing`: the file has to be made again, so it is judged anew.

        Raises `NotTakable` if the candidate may not be delivered.
        """
        if self.steps.package is None:
            raise NotTakable("this session has delivered nothing")
        trial = self.search.by_key.get(candidate)
        if trial is None:
            raise NotTakable(f"this session has no candidate {candidate}")
        if self.standing.verdict.candidate == candidate:
            raise NotTakable("it is what the session delivers already")
        if (judgement := self._latest(trial)) is None:
            raise NotTakable("it was never measured")
        if not judgement.accepted:
            raise NotTakable(f"it was rejected. {judgement.reason}")
        taking = Taking(number=len(self.takes) + 1, candidate=candidate, by=by)
        if file_missing or not self._is_judged(candidate):
            return self._judge(trial, taking)
        return self._package(taking)

    def _latest(self, trial: Trial) -> Judgement | None:
        """The judgement that counts: of its last look, as a finalist, or from the ranking."""
        further = [look for look in self._looks if look.key == trial.key]
        if further:
            return further[-1].judgement
        finals = self.search.finals
        return (finals.judgements.get(trial.key) if finals else None) or trial.judgement

    def _is_judged(self, key: str) -> bool:
        finals = self.search.finals
        return any(look.key == key for look in self._looks) or bool(finals and key in finals.judgements)

    @cached_property
    def _looks(self) -> tuple[FurtherLook, ...]:
        """Every candidate that was judged after the manager's verdict, in order."""
        looks: list[FurtherLook] = []
        for take in self.takes:
            if (report := take.report) is not None:
                earlier = tuple(look.key for look in looks)
                looks.append(FurtherLook(take.taking.candidate, report, len(looks) + 1, earlier, self.search))
        return tuple(looks)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _judge(self, trial: Trial, taking: Taking) -> StepRequest:
        finals, earlier = self.search.finals, [look.key for look in self._looks]
        sharing = sharing_of(finals, len(earlier) + 1)
        return StepRequest(
            key=judge_taken_key(taking.number),
            kind=StepKind.EVALUATE,
            queue=measuring_queue(self.state.criteria),
            reason=f"{taking.by} takes {trial.key}, so it is judged on the test examples, as one of {sharing} that "
            "share the chance of error.",
            candidate=trial.key,
            technique=trial.planned.technique,
            parameters={
                "part": Part.EVALUATION.value,
                "finalists": further_keys(finals, earlier, trial.key),
                "confidence": shared_confidence(self.state.criteria.confidence, sharing),
                "contenders": {one.key: round(one.score, 6) for one in self.search.contenders},
                **self.search.evaluated_with(trial),
                TAKING: taking.model_dump(mode="json"),
            },
            parents=_made_by(trial),
        )

    def _package(self, taking: Taking) -> StepRequest:
        verdict = self._verdict(taking)
        closing = self.first.model_copy(update={"verdict": verdict, "taking": taking, "untried": None})
        return StepRequest(
            key=package_taken_key(taking.number),
            kind=StepKind.PACKAGE,
            queue="cpu",
            reason=verdict.reason,
            candidate=taking.candidate,
            parameters=closing.model_dump(mode="json"),
            parents=_made_by(self.search.by_key[taking.candidate]),
        )

    # --- the new verdict ---------------------------------------------------------------------------------------------

    def _verdict(self, taking: Taking) -> Verdict:
        search, finals, key = self.search, self.search.finals, taking.candidate
        look = next((look for look in reversed(self._looks) if look.key == key), None)
        judged = {**search.judged, **(finals.judgements if finals else {})}
        judged |= {one.key: one.judgement for one in self._looks}
        report = look.report if look else finals.report_of(key) if finals else None
        choice = look.choice if look else finals.choice(key) if finals else None
        assert report is not None, "judged before it is packed"
        verdict = verdict_of(judged, search.titles, self.state.criteria, chosen=key, choice=choice)
        taken = Taken(
            by=taking.by,
            number=taking.number,
            instead=self.first.verdict.candidate,
            trade=self._trade(key, report),
            further_looks=len(self._looks),
        )
        reason = f"{_who(taken, key)} {taken.trade} {verdict.reason}"
        verdict = verdict.model_copy(update={"taken": taken, "reason": reason})
        return verdict.model_copy(update={"headline": headline_of(verdict, report, self.state.criteria)})

    def _trade(self, key: str, report: EvaluationReport) -> str:
        instead = self.first.verdict.candidate
        if instead == key:
            return "So the manager's choice stands again."
        trial = self.search.by_key.get(instead or "")
        return trade(report, (trial.judged or trial.report) if trial else None)

    # --- what follows ------------------------------------------------------------------------------------------------

    @property
    def decision(self) -> Decision:
        """The next decision for the latest request: a step, or the verdict that stands at its end."""
        requests = self._requests
        over = not requests and not self.steps.active
        last = self.takes[-1]
        return Decision(
            phase=Phase.PACKAGING
            if last.package or any(one.kind is StepKind.PACKAGE for one in requests)
            else Phase.EVALUATING,
            progress=1.0,
            requests=requests,
            candidates=self._records(requests),
            events=tuple(self._events()),
            verdict=self.standing.verdict if over else None,
        )

    @property
    def _requests(self) -> tuple[StepRequest, ...]:
        last = self.takes[-1]
        if self.steps.active or last.lost or last.delivered:
            return ()
        if last.package is not None:
            return (_untried(last.package, last.taking.number),)
        return (self._package(last.taking),) if self._look(last).judgement.accepted else ()

    def _look(self, take: Take) -> FurtherLook:
        """The look that `take` led to."""
        return self._looks[sum(one.report is not None for one in self.takes[: take.taking.number]) - 1]

    def result(self, take: Take) -> TakingResult:
        if take.delivered:
            return TakingResult.DELIVERED
        if take.lost is not None:
            return TakingResult.FAILED
        if take.package is None and take.report is not None and not self._look(take).judgement.accepted:
            return TakingResult.REFUSED
        return TakingResult.OPEN

    def _records(self, requests: tuple[StepRequest, ...]) -> tuple[CandidateRecord, ...]:
        """Every candidate as members see it: the one that is packed, or that stands, is selected."""
        last = self.takes[-1]
        packing = any(one.kind is StepKind.PACKAGE for one in requests) or (last.package and not last.lost)
        selected = last.taking.candidate if packing else self.standing.verdict.candidate
        finals = self.search.finals
        rulings = finals.rulings(selected, closed=True) if finals else {}
        for take in self.takes:
            if take.report is not None:
                rulings[take.taking.candidate] = _ruling(take, self._look(take).judgement)
        return tuple(one.record(selected, self.first.skipped, rulings.get(one.key)) for one in self.search.trials)

    def _events(self) -> Iterator[AgentDecision]:
        for take in self.takes:
            key, name = take.taking.candidate, f"take/{take.taking.number}"
            if take.report is not None:
                ruling = _ruling(take, self._look(take).judgement)
                action = "accepted" if ruling.stands else "rolled back"
                yield AgentDecision(
                    key=f"{name}/judged", agent=EVALUATION_AGENT, action=action, subject=key, reason=ruling.reason
                )
            result = self.result(take)
            if result is not TakingResult.OPEN:
                yield AgentDecision(
                    key=name, agent=MANAGER, action=_ACTIONS[result], subject=key, reason=self._ending(take, result)
                )

    def _ending(self, take: Take, result: TakingResult) -> str:
        """How a request ended, in sentences."""
        key, by = take.taking.candidate, take.taking.by
        if result is TakingResult.DELIVERED and take.closing:
            return take.closing.verdict.reason
        stands = "What was delivered before stands."
        if result is TakingResult.REFUSED:
            look = self._look(take)
            return f"{by} took {key}, and it is not delivered. {_ruling(take, look.judgement).reason} {stands}"
        lost = take.lost
        why = (lost.error if lost else None) or f"The step {lost.request.key if lost else ''} was cancelled."
        return f"{by} took {key}, and it could not be delivered. {why} {stands}"


_ACTIONS = {
    TakingResult.DELIVERED: "taken",
    TakingResult.REFUSED: "taking refused",
    TakingResult.FAILED: "taking failed",
}


def _made_by(trial: Trial) -> dict[str, str]:
    """The step whose artifact was measured as the candidate."""
    assert trial.evaluate is not None, "measured"
    return starting_from(trial.evaluate.request.parent)


def _ruling(take: Take, judgement: Judgement) -> Ruling:
    on = f"Judged on {judgement.examples:,} test examples after the manager's decision"
    return Ruling(f"{on}, because {take.taking.by} took it. {judgement.reason}", judgement, stands=judgement.accepted)


def _untried(lost: StepRecord, number: int) -> StepRequest:
    """The step that packs again without trying the package, as for the manager's own choice."""
    untried = lost.error or f"the step {lost.request.key} was {lost.status.value}"
    return lost.request.model_copy(
        update={
            "key": package_taken_key(number, untried=True),
            "parameters": {**lost.request.parameters, "untried": untried},
        }
    )


# --- words -----------------------------------------------------------------------------------------------------------


def _who(taken: Taken, key: str) -> str:
    if taken.instead == key:
        return f"{taken.by} went back to {key}."
    chosen = taken.instead or "the original"
    return f"{taken.by} chose {key}; the manager had chosen {chosen}."


def trade(
    taken: EvaluationReport,
    instead: EvaluationReport | None,
    *,
    chosen: str = "the manager's choice",
    intervals: bool = False,
) -> str:
    """What `taken` gives up and gains against `instead`, which is `chosen`, or against the original: in a sentence with
    both numbers and, on request, their intervals.

    Speed and loss count beyond the overlap of the intervals, as on the front; the size from one per cent on.
    """
    unit = difference_unit(taken.primary.unit)
    speed, before = taken.latency.speedup, instead.latency.speedup if instead else Estimate(value=1.0)
    sizes = taken.counted_bytes.ratio, instead.counted_bytes.ratio if instead else 1.0
    drop, lost_before = taken.primary.drop, instead.primary.drop if instead else Estimate(value=0.0)
    gives: list[str] = []
    gains: list[str] = []
    if apart(speed, before):
        ranges = [_range(one, "×") if intervals else "" for one in (speed, before)]
        faster = f"speed ({number(speed.value)}×{ranges[0]} instead of {number(before.value)}×{ranges[1]} as fast)"
        (gains if speed.value > before.value else gives).append(faster)
    if max(sizes) >= REAL_CHANGE * min(sizes):
        smaller = f"size ({number(sizes[0])} instead of {number(sizes[1])} times smaller)"
        (gains if sizes[0] > sizes[1] else gives).append(smaller)
    if apart(drop, lost_before):
        ranges = [_range(one, unit) if intervals else "" for one in (drop, lost_before)]
        losses = f"{_lost(drop.value, unit)}{ranges[0]} instead of {_lost(lost_before.value, unit)}{ranges[1]}"
        lost = f"{taken.primary.label} ({losses})"
        (gains if drop.value < lost_before.value else gives).append(lost)
    against = chosen if instead else "the original"
    if not gives and not gains:
        return f"It measures the same as {against}."
    parts = [f"it gives up {listed(gives) or 'nothing'}", f"it gains {listed(gains) or 'nothing'}"]
    return f"Against {against}, {' and '.join(parts)}."


def _range(measured: Estimate, unit: str) -> str:
    """The interval in brackets, after a space; empty for an exact number or an unbounded one."""
    low, high = measured.low, measured.high
    if low is None or high is None or max(abs(low), abs(high)) >= UNKNOWN:
        return ""
    return f" [{difference(low, unit)}, {difference(high, unit)}]"


def _lost(drop: float, unit: str) -> str:
    return f"a {'gain' if drop < 0 else 'loss'} of {with_unit(abs(drop), unit)}"
