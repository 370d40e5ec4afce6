"""The candidates of a session, derived from its steps. Everything is read from the `SessionState`.

A root is a candidate of the plan. A repair is known from its optimize step, whose request contains the technique, the
parameters and the reason. The key shows which candidate it repairs: `c03`, `c03r1`, `c03r2`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from apps.agents.contracts.chain import sources
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.loss_limits import drop_in_points
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import (
    ACTIVE,
    CandidateRecord,
    CandidateStatus,
    Plan,
    Status,
    StepRecord,
)
from apps.agents.evaluation.selection import Judgement
from apps.agents.planning.bases import Bases
from apps.agents.planning.chains import application_of
from apps.agents.planning.minutes import Minutes
from apps.agents.planning.prediction import predict
from apps.agents.planning.repair import Attempt
from apps.agents.session.steps import LOST, Steps, evaluate_key, judge_key, optimize_key
from apps.agents.techniques.catalogue import TechniqueSpec
from apps.agents.techniques.knowledge.tables import Knowledge

_REPAIR = re.compile(r"^(?P<root>.+)r(?P<number>\d+)$")
_REJECTED_OUTPUT = "technique."
"""The prefix of error codes for a refused output of a technique, which counts as a rollback."""


@dataclass(frozen=True)
class Trial:
    """A candidate with its steps and their results."""

    planned: CandidateRecord
    """The candidate's record, without optional links that cannot be applied."""
    root: str
    maker: str
    """The key of the step that makes its artifact."""
    shared: bool = False
    """Whether other candidates start from its artifact. It is then made once for all, and has only to be measured."""
    optimize: StepRecord | None = None
    """Its own step that makes it, or the completed shared step that made it."""
    evaluate: StepRecord | None = None
    report: EvaluationReport | None = None
    """Its evaluation on the validation part."""
    judgement: Judgement | None = None
    """Its judgement from the validation part."""
    judge: StepRecord | None = None
    judged: EvaluationReport | None = None
    """Its evaluation on the test part."""

    @property
    def key(self) -> str:
        return self.planned.key

    @property
    def started(self) -> bool:
        return (self.evaluate if self.shared else self.optimize) is not None

    @property
    def failed_step(self) -> StepRecord | None:
        """The failed or cancelled step that ended its trial, if there is one."""
        for step in (self.optimize, self.evaluate):
            if step is not None and step.status in LOST:
                return step
        return None

    @property
    def failure(self) -> str | None:
        """Why it failed, in a sentence; `None` if it did not fail."""
        step = self.failed_step or self.failed_judging
        if step is None:
            return None
        return step.error or f"The step {step.request.key} was {step.status.value}."

    @property
    def failed_judging(self) -> StepRecord | None:
        lost = self.judge is not None and self.judge.status in LOST
        return self.judge if lost else None

    @property
    def fault(self) -> Fault | None:
        """Why its step failed, if the technique was not the cause. It then does not count as tried."""
        return self.failed_step.fault if self.failed_step else None

    @property
    def rolled_back(self) -> bool:
        """Whether it failed because its output was refused."""
        step = self.failed_step
        return step is not None and (step.error_code or "").startswith(_REJECTED_OUTPUT)

    @property
    def decided(self) -> bool:
        return self.judgement is not None or self.failed_step is not None

    @property
    def awaits_evaluation(self) -> bool:
        made = self.optimize is not None and self.optimize.status is Status.COMPLETED
        return made and self.evaluate is None and not self.shared

    @property
    def speedup(self) -> float:
        return self.report.latency.speedup.value if self.report else 1.0

    @property
    def size_ratio(self) -> float:
        return self.report.counted_bytes.ratio if self.report else 1.0

    def attempt(self) -> Attempt:
        """What the search for a repair needs to know about it."""
        step = self.failed_step
        return Attempt(
            key=self.key,
            parameters=self.planned.parameters,
            predicted=self.planned.predicted,
            judgement=self.judgement,
            speedup=self.speedup,
            size_ratio=self.size_ratio,
            drop_points=drop_in_points(self.report.primary) if self.report else 0.0,
            error_code=(step.error_code or "failed") if step is not None else None,
        )

    def record(self, selected: str | None, skipped: Mapping[str, str], ruling: Ruling | None = None) -> CandidateRecord:
        """The candidate's record with its present status, reason and score, as members see it."""
        status, reason = self._standing(selected, skipped, ruling)
        known = (ruling and ruling.judgement) or self.judgement
        score = known.score if known else None
        return self.planned.model_copy(
            update={"status": status, "reason": reason, "score": None if score is None else round(score, 4)}
        )

    def _standing(
        self, selected: str | None, skipped: Mapping[str, str], ruling: Ruling | None
    ) -> tuple[CandidateStatus, str]:
        if self.key in skipped:
            return CandidateStatus.SKIPPED, skipped[self.key]
        if (failure := self.failure) is not None:
            return CandidateStatus.FAILED, failure
        if self.judgement is None:
            return (CandidateStatus.RUNNING if self.started else CandidateStatus.PLANNED), self.planned.reason
        if self.key == selected and ruling:
            return CandidateStatus.SELECTED, ruling.reason
        if self.judge is not None and self.judge.status in ACTIVE:
            return CandidateStatus.RUNNING, f"{self.judgement.reason} It is being judged."
        if ruling:
            return (CandidateStatus.ACCEPTED if ruling.stands else CandidateStatus.REJECTED), ruling.reason
        status = CandidateStatus.ACCEPTED if self.judgement.accepted else CandidateStatus.REJECTED
        return status, self.judgement.reason


@dataclass(frozen=True)
class Ruling:
    """The result for a candidate once finalists are judged."""

    reason: str
    judgement: Judgement | None
    """The judgement from the test part; `None` for a candidate that was not judged."""
    stands: bool
    """Whether it is accepted. A finalist must be proven, or tolerated despite open points."""


def read_trials(
    steps: Steps,
    plan: Plan,
    bases: Bases,
    minutes: Minutes,
    specs: Mapping[str, TechniqueSpec],
    knowledge: Knowledge,
) -> tuple[Trial, ...]:
    """Every candidate that was planned or requested, each root followed by its repairs.

    The chains of `plan` contain only links that can be applied. The first links that several chains have in common are
    shared.
    """
    shared = {steps.chain_key(part) for candidate in plan.candidates for part in sources(candidate.steps)}
    chains = {candidate.key: [_root(candidate, steps, shared)] for candidate in plan.candidates}
    for step in sorted(steps.by_key.values(), key=_repair_number):
        candidate, technique = step.request.candidate, step.request.technique
        match = _REPAIR.match(candidate or "")
        if match is None or technique is None or step.request.key != optimize_key(match[0]):
            continue
        chain, spec = chains[match["root"]], specs[technique]
        record = repair_record(
            match[0], chain[-1].planned, spec, step.request.parameters, step.request.reason, bases, minutes, knowledge
        )
        chain.append(Trial(planned=record, root=match["root"], maker=step.request.key))
    return tuple(_with_steps(trial, steps, minutes.criteria) for chain in chains.values() for trial in chain)


def _root(candidate: CandidateRecord, steps: Steps, shared: Collection[str]) -> Trial:
    own = optimize_key(candidate.key)
    is_shared = steps.made(candidate.steps) is not None or steps.chain_key(candidate.steps) in shared
    if not is_shared or steps.get(own):
        return Trial(planned=candidate, root=candidate.key, maker=own)
    return Trial(planned=candidate, root=candidate.key, maker=steps.key_of(candidate.steps), shared=True)


def repair_record(
    key: str,
    before: CandidateRecord,
    spec: TechniqueSpec,
    parameters: Mapping[str, object],
    reason: str,
    bases: Bases,
    minutes: Minutes,
    knowledge: Knowledge,
) -> CandidateRecord:
    """The record of a repair of the candidate `before`. It follows completely from the request and the plan's
    `knowledge`.

    Only the last link is applied again, so the predicted minutes are those of that link and of measuring.
    """
    last = application_of(spec, parameters).model_copy(update={"inputs": before.last.inputs})
    predicted = predict(spec, parameters, bases.profile(spec), minutes.criteria, knowledge)
    return CandidateRecord(
        key=key,
        steps=(*before.steps[:-1], last),
        parent=before.key,
        predicted=minutes.foreseen([(spec, parameters)], bases.of(spec) or bases.original, predicted),
        reason=reason,
    )


def _repair_number(step: StepRecord) -> tuple[str, int]:
    match = _REPAIR.match(step.request.candidate or "")
    return (match["root"], int(match["number"])) if match else ("", 0)


def _with_steps(trial: Trial, steps: Steps, criteria: Criteria) -> Trial:
    optimize = steps.completed(trial.maker) if trial.shared else steps.get(trial.maker)
    evaluate = steps.get(evaluate_key(trial.key))
    if evaluate is None or evaluate.status is not Status.COMPLETED:
        return replace(trial, optimize=optimize, evaluate=evaluate)
    report, judgement = steps.reading.ranked(evaluate, criteria)
    measured = replace(trial, optimize=optimize, evaluate=evaluate, report=report, judgement=judgement)
    judging = steps.get(judge_key(trial.key))
    if judging is None or judging.status is not Status.COMPLETED:
        return replace(measured, judge=judging)
    return replace(measured, judge=judging, judged=steps.reading.ranked(judging, criteria)[0])
