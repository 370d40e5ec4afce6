"""The OptimizationManager, which decides a session's next steps from its state.

    analyse → (export → analyse) → plan → (optimize → … → evaluate) for each candidate
    → judge the finalists → package → verdict

A PyTorch or TensorFlow model is exported to the formats of other runtimes before the plan is made, so that the plan can
weigh the techniques of all of them. If an export fails, the plan leaves out the techniques that need it. A candidate is
a chain of techniques. First links that several candidates share are applied once. Candidates are ranked on the
validation part of the data set. When the search is over, or its time has run out, the few that rank highest are judged
on the test part, one after the other until one is proven.

`next` is a pure function of the state. Nothing is remembered between calls, so nothing is lost in a crash: a repeated
call gives the same result, and a step that is in the state is not requested again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from apps.agents.contracts.faults import Fault
from apps.agents.contracts.forecast import Forecast
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import (
    CandidateRecord,
    Closing,
    Decision,
    Outcome,
    Phase,
    SessionState,
    Status,
    StepKind,
    StepRecord,
    StepRequest,
    Verdict,
)
from apps.agents.evaluation.inconclusive import not_measured
from apps.agents.evaluation.selection import verdict_of
from apps.agents.evaluation.slack import nearest_measured
from apps.agents.measuring.statistics.certainty import MOST_FINALISTS
from apps.agents.planning.ordering import predicted_gain
from apps.agents.session import audit_events
from apps.agents.session.candidates import Trial
from apps.agents.session.comparing import comparison
from apps.agents.session.earlier import is_measured, worked_before_s
from apps.agents.session.finalists import Finals
from apps.agents.session.forecast import Foresight, before_the_plan
from apps.agents.session.halving import ranking_in_words
from apps.agents.session.headline import headline_of
from apps.agents.session.keeping import unneeded
from apps.agents.session.preparation import Preparation, measuring_queue, optimizing_queue
from apps.agents.session.reading import Reading
from apps.agents.session.refining import Refining
from apps.agents.session.search import Option, Search, Shared
from apps.agents.session.searching import Searching, folded
from apps.agents.session.steps import (
    ANALYSE,
    LOST,
    PACKAGE,
    PACKAGE_UNTRIED,
    PLAN,
    Steps,
    evaluate_key,
    judge_key,
    optimize_key,
    starting_from,
)
from apps.agents.session.taking import Takings
from apps.agents.session.time_left import minutes_spent
from apps.agents.techniques.catalogue import TechniqueSpec, catalogue

_ENDS_SESSION = (Fault.INFRASTRUCTURE, Fault.ORIGINAL)
WORKERS_PER_STEP_AHEAD = 8
"""For so many workers, one step more than they can run is requested, so that one that ends a step finds the next in its
queue and does not wait for a decision. With fewer, a better-informed decision is worth the wait."""


class OptimizationManager:
    """Decides a session's next steps. `specs` is the catalogue of techniques; by default, all known ones."""

    def __init__(self, specs: Mapping[str, TechniqueSpec] | None = None) -> None:
        self.specs = catalogue() if specs is None else specs

    def next(self, state: SessionState) -> Decision:
        """The next decision: steps to start, present candidates and events, and the verdict or failure at the end.

        At most `state.parallelism` steps run at a time; with many workers, a few more wait for them. Evaluations come
        before new optimizations, so their results can guide the search. A failed step ends only its candidate. The
        session ends with `failure` if the analysis or the plan fails, or if the package cannot be packed even without
        trying it. It also ends if a step fails for a reason that shows nothing about the candidate: the infrastructure
        failed, the original fails too, or memory ran out and nothing else is better than the original. After the
        verdict, a member may take another candidate (`taking`).
        """
        if state.compared is not None:
            return comparison(state)
        if (takings := Takings(state, self.specs)).takes:
            return takings.decision
        if (failure := _failure(state)) is not None:
            return _decision(state, self.specs, failure=failure)
        searching = Searching(state, self.specs)
        under_way = _with(state, further := searching.further())
        turn = _Turn(folded(under_way), self.specs)
        requests = searching.staged(turn.requests)
        if (failure := _left_open(state, requests)) is not None:
            return _decision(folded(state), self.specs, failure=failure)
        after = folded(_with(under_way, requests))
        return _decision(after, self.specs, (*further, *requests), reading=turn.reading)


def _with(state: SessionState, requests: tuple[StepRequest, ...]) -> SessionState:
    """The state once these are in the queue."""
    asked = (StepRecord(request=request, status=Status.QUEUED) for request in requests)
    return state.model_copy(update={"steps": (*state.steps, *asked)}) if requests else state


def _failure(state: SessionState) -> tuple[str, str] | None:
    """Code and sentence of a failed step that the session needs; `None` if there is none."""
    for key in (ANALYSE, PLAN, PACKAGE_UNTRIED):
        step = Steps.of(state).get(key)
        if step is not None and step.status in LOST:
            return _error_of(step)
    lost = (step for step in state.steps if step.status is Status.FAILED and step.fault in _ENDS_SESSION)
    return next((_error_of(step) for step in lost), None)


def _error_of(step: StepRecord) -> tuple[str, str]:
    key, status = step.request.key, step.status.value
    return step.error_code or f"{key}.{status}", step.error or f"The step {key} {status}."


def _left_open(state: SessionState, requests: tuple[StepRequest, ...]) -> tuple[str, str] | None:
    """Code and sentence if the original would stand but a candidate was not tried for lack of memory; else `None`."""
    closings = [Closing.model_validate(one.parameters) for one in requests if one.kind is StepKind.PACKAGE]
    if not any(closing.verdict.outcome is not Outcome.IMPROVED for closing in closings):
        return None
    for step in state.steps:
        if step.status is Status.FAILED and step.fault is Fault.MEMORY and step.request.candidate:
            code, sentence = _error_of(step)
            return code, (
                f"{step.request.candidate} could not be tried, and nothing else is better than the original. "
                f"{sentence} Give the worker more memory and resume the session, or start another one without "
                f"{step.request.technique}."
            )
    return None


def _decision(
    state: SessionState,
    specs: Mapping[str, TechniqueSpec],
    requests: tuple[StepRequest, ...] = (),
    failure: tuple[str, str] | None = None,
    reading: Reading | None = None,
) -> Decision:
    steps = Steps.of(state)
    planned = steps.completed(ANALYSE) and steps.completed(PLAN)
    search = Search(state, specs, reading or Reading()) if planned else None
    closing = _closing(steps)
    done = closing is not None and steps.package is not None and steps.package.status is Status.COMPLETED
    forecast = None if done or failure else _forecast(state, search)
    return Decision(
        phase=_phase(steps),
        progress=1.0 if done else _progress(state, forecast) if forecast else 0.0,
        forecast=forecast,
        requests=requests,
        candidates=_records(search, closing) if search else (),
        events=tuple(audit_events.events(search, closing)) if search else (),
        unneeded=unneeded(search) if search and failure is None else (),
        verdict=closing.verdict if closing and done else None,
        failure=failure,
    )


def _records(search: Search, closing: Closing | None) -> tuple[CandidateRecord, ...]:
    """The present record of every candidate, as members see it."""
    selected, skipped = (closing.verdict.candidate, closing.skipped) if closing else (None, {})
    rulings = search.finals.rulings(selected, closed=closing is not None) if search.finals else {}
    return tuple(trial.record(selected, skipped, rulings.get(trial.key)) for trial in search.trials)


def _latest_reports(search: Search) -> dict[str, EvaluationReport]:
    """The evaluation of each measured candidate: the one that judged it, else the one that ranked it."""
    found = {trial.key: trial.judged or trial.report for trial in search.trials}
    return {key: report for key, report in found.items() if report is not None}


def _closing(steps: Steps) -> Closing | None:
    package = steps.package
    return Closing.model_validate(package.request.parameters) if package else None


def _phase(steps: Steps) -> Phase:
    """The session's phase. Phases never go back: evaluating includes candidates that earlier results lead to."""
    if steps.get(PLAN) is None:
        return Phase.ANALYSING
    if not steps.completed(PLAN):
        return Phase.PLANNING
    if steps.get(PACKAGE):
        return Phase.PACKAGING
    evaluating = any(step.request.kind is StepKind.EVALUATE for step in steps.by_key.values())
    return Phase.EVALUATING if evaluating else Phase.OPTIMIZING


def _forecast(state: SessionState, search: Search | None) -> Forecast:
    return Foresight(search).forecast if search else before_the_plan(state)


def _progress(state: SessionState, forecast: Forecast) -> float:
    """The share of the expected seconds of work that is done."""
    worked_s = state.worked_s - worked_before_s(state)
    ahead_s = forecast.later_s + sum(forecast.steps.values())
    return round(worked_s / (worked_s + ahead_s), 4) if worked_s > 0 else 0.0


@dataclass(frozen=True)
class _Turn:
    """One call of the manager: the requests that follow from `state`."""

    state: SessionState
    specs: Mapping[str, TechniqueSpec]
    reading: Reading = field(default_factory=Reading)

    @cached_property
    def steps(self) -> Steps:
        return Steps.of(self.state, self.reading)

    @cached_property
    def search(self) -> Search:
        return Search(self.state, self.specs, self.reading)

    @property
    def requests(self) -> tuple[StepRequest, ...]:
        if self.steps.get(PLAN) is None:
            return Preparation(self.state, self.specs, in_time=minutes_spent(self.state) is None).requests
        if self.steps.completed(PLAN) is None:
            return ()
        if (package := self.steps.package) is not None:
            lost = package.status in LOST and package.request.key == PACKAGE
            return (self._package_untried(package),) if lost else ()
        requests = self._trials() if self.search.finals is None else self._judging(self.search.finals)
        if requests or self.steps.active:
            return requests
        finals = self.search.finals or self.search.new_finals(self._most_finalists())
        requests = self._judging(finals) if finals else ()
        return requests or (self._package(finals),)

    # --- the steps ---------------------------------------------------------------------------------------------------

    @property
    def _workers(self) -> int:
        return max(1, self.state.parallelism)

    def _trials(self) -> tuple[StepRequest, ...]:
        """Evaluations first, then new candidates in turn, as far as workers and the budget allow."""
        free = max(0, self._workers + self._workers // WORKERS_PER_STEP_AHEAD - self.steps.active)
        requests: list[StepRequest] = []
        spent = self.search.time_left.spent is not None
        requests += [self._evaluate(one) for one in self.search.to_evaluate if not spent or self._is_free(one.planned)]
        requests += self._next_of(self._affordable)
        if len(requests) < free:
            requests += filter(None, [Refining(self.search).request(free - len(requests))])
        return tuple(requests[:free])

    def _next_of(self, options: Sequence[Option]) -> list[StepRequest]:
        """The next step of each option in turn: the shared link that it needs, made once for all, or its own. An option
        waits while a link that it needs is being made."""
        shared = self.search.to_share(options)
        by_candidate = {key: one for one in shared.values() for key in one.candidates}
        requests: dict[str, StepRequest] = {}
        for option in options:
            if self.search.waits(option.candidate):
                continue
            link = by_candidate.get(option.candidate.key)
            if (request := self._share(link) if link else self._start(option)) is not None:
                requests.setdefault(request.key, request)
        return list(requests.values())

    @property
    def _affordable(self) -> list[Option]:
        """The options for which the budget suffices. What is taken over from an earlier session costs nothing."""
        options = list(self.search.options)
        room = max(0, self.state.criteria.budget.candidates - self.search.started)
        free = sum(self._is_free(option.candidate) for option in options)
        return options[: max(room, free)]

    def _is_free(self, candidate: CandidateRecord) -> bool:
        return is_measured(candidate, self.state)

    def _judging(self, finals: Finals) -> tuple[StepRequest, ...]:
        """The steps that judge the next finalists, as many as workers are free. The first is judged even after the
        budget's time is over."""
        late = self.search.time_left.spent is not None and len(finals.unasked) < len(finals.keys)
        if late or finals.chosen(closed=False) is not None:
            return ()
        free = max(0, self._workers - self.steps.active)
        return tuple(self._judge(self.search.by_key[key], finals) for key in finals.unasked[:free])

    def _most_finalists(self) -> int:
        """How many finalists there is time to judge, at least one. None begins when the time is over."""
        left_s, each_s = self.search.time_left.seconds, self.search.time_left.judging_s
        return max(1, min(MOST_FINALISTS, round(left_s / each_s) if each_s else MOST_FINALISTS))

    def _share(self, shared: Shared) -> StepRequest:
        last = shared.chain[-1]
        return StepRequest(
            key=self.steps.key_of(shared.chain),
            kind=StepKind.OPTIMIZE,
            queue=optimizing_queue(self.specs[last.technique]),
            reason=f"{listed(shared.candidates)} need{'s' * (len(shared.candidates) == 1)} it. It is made once.",
            technique=last.technique,
            parameters=dict(last.parameters),
            parents=self.steps.parents_of(shared.chain),
        )

    def _start(self, option: Option) -> StepRequest | None:
        """The first step of a candidate; `None` while it waits for another with which it will be compared.

        Its shared links have been applied already. If all its links are shared, it has only to be measured.
        """
        trial = self.search.by_key.get(option.candidate.key)
        if trial is None or not trial.shared:
            return self._optimize(option)
        return None if self.search.awaits_float_model(trial.planned) else self._evaluate(trial)

    def _optimize(self, option: Option) -> StepRequest:
        candidate = option.candidate
        return StepRequest(
            key=optimize_key(candidate.key),
            kind=StepKind.OPTIMIZE,
            queue=optimizing_queue(self.specs[candidate.technique]),
            reason=candidate.reason,
            candidate=candidate.key,
            technique=candidate.technique,
            parameters=dict(candidate.parameters),
            parents=self.steps.parents_of(candidate.steps),
        )

    def _evaluate(self, trial: Trial) -> StepRequest:
        return StepRequest(
            key=evaluate_key(trial.key),
            kind=StepKind.EVALUATE,
            queue=measuring_queue(self.state.criteria),
            reason=ranking_in_words(trial.key, self.search.ranked_with),
            candidate=trial.key,
            technique=trial.planned.technique,
            parameters={**self.search.ranked_with, **self.search.evaluated_with(trial)},
            parents=starting_from(trial.maker),
        )

    def _judge(self, trial: Trial, finals: Finals) -> StepRequest:
        return StepRequest(
            key=judge_key(trial.key),
            kind=StepKind.EVALUATE,
            queue=measuring_queue(self.state.criteria),
            reason=f"Judges {trial.key} on the test examples, which played no part in the choice.",
            candidate=trial.key,
            technique=trial.planned.technique,
            parameters=self.search.judging_parameters(trial, finals),
            parents=starting_from(trial.maker),
        )

    def _package(self, finals: Finals | None) -> StepRequest:
        """The last step. Its parameters store how the search ended, so the verdict cannot change any more."""
        budget, time_left = self._budget_spent(), self.search.time_left
        late = {one.candidate.key: time_left.why_too_late(one.candidate) for one in self.search.too_late}
        verdict = self._headed(self._verdict(finals, budget), finals)
        skipped = {
            trial.key: self.search.passed_over(trial) or f"Left out: {late.get(trial.key, budget)}"
            for trial in self.search.trials
            if not trial.started
        }
        skipped |= {trial.key: f"Not measured: {budget}" for trial in self.search.trials if trial.awaits_evaluation}
        closing = Closing(verdict=verdict, skipped=skipped, budget=budget)
        chosen = verdict.candidate
        maker = next((trial.maker for trial in self.search.trials if trial.key == chosen), None)
        return StepRequest(
            key=PACKAGE,
            kind=StepKind.PACKAGE,
            queue="cpu",
            reason=verdict.reason,
            candidate=chosen,
            parameters=closing.model_dump(mode="json"),
            parents=starting_from(maker),
        )

    def _verdict(self, finals: Finals | None, budget: str | None) -> Verdict:
        judged, titles, criteria = dict(self.search.judged), self.search.titles, self.state.criteria
        if not judged:
            return not_measured(self.state, self._failures, budget if self.search.time_left.spent else None)
        nearest = nearest_measured(_latest_reports(self.search), titles)
        if finals is None:
            return verdict_of(judged, titles, criteria, nearest=nearest)
        chosen = finals.chosen(closed=True)
        failed = [self.search.by_key[key] for key in finals.keys if self.search.by_key[key].failed_judging]
        unjudged = " ".join(f"{trial.key} could not be judged: {trial.failure}" for trial in failed)
        judged |= finals.judgements
        choice = finals.choice(chosen)
        return verdict_of(judged, titles, criteria, chosen=chosen, choice=choice, unjudged=unjudged, nearest=nearest)

    @property
    def _failures(self) -> dict[str, str]:
        """By key: why a candidate failed, in a sentence."""
        return {trial.key: failure for trial in self.search.trials if (failure := trial.failure) is not None}

    def _headed(self, verdict: Verdict, finals: Finals | None) -> Verdict:
        """The verdict with its headline, which is stored with it."""
        report = finals.report_of(verdict.candidate) if finals and verdict.candidate else None
        return verdict.model_copy(update={"headline": headline_of(verdict, report, self.state.criteria)})

    def _package_untried(self, lost: StepRecord) -> StepRequest:
        """The step that packs again without trying the package: a proven result is not lost because the package failed
        its trial. The package says so."""
        untried = lost.error or f"the step {lost.request.key} was {lost.status.value}"
        parameters = {**lost.request.parameters, "untried": untried}
        return lost.request.model_copy(update={"key": PACKAGE_UNTRIED, "parameters": parameters})

    # --- the budget --------------------------------------------------------------------------------------------------

    def _budget_spent(self) -> str | None:
        """Which budget ended the search, in a sentence; `None` if it ended because nothing was left to try."""
        options, late = self.search.options, self.search.too_late
        unmeasured = any(trial.awaits_evaluation for trial in self.search.trials)
        if not options and not late and not unmeasured:
            return None
        if self.search.time_left.spent or not options:
            return self._out_of_time(late)
        candidates = self.state.criteria.budget.candidates
        return f"the budget of {candidates} candidate{'s' if candidates > 1 else ''} is spent."

    def _out_of_time(self, late: Sequence[Option]) -> str | None:
        """Why the time does not suffice for the most promising of these, and what it might have gained."""
        if (spent := self.search.time_left.spent) or not late:
            return spent
        candidate = late[0].candidate
        predicted = predicted_gain(candidate.predicted, self.state.criteria)
        return (
            f"{self.search.time_left.why_too_late(candidate)} It is the most promising one left, with a predicted "
            f"score of {predicted:.2f} against {self.search.bar:.2f} reached."
        )
