"""The candidates of a session as its steps tell: pure reading of a `SessionState`, nothing is remembered elsewhere.

A root is a candidate of the plan; a repair is known by the optimize step that was asked for it, whose request carries
its technique, parameters and reason. Keys tell the chain: `c03`, `c03r1`, `c03r2`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import (
    ACTIVE,
    CandidateRecord,
    CandidateStatus,
    Plan,
    SessionState,
    Status,
    StepKind,
    StepRecord,
)
from apps.agents.evaluation.selection import Judgement, judge
from apps.agents.planning.bases import Bases
from apps.agents.planning.prediction import predict
from apps.agents.planning.repair import Attempt
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.knowledge.profile import GraphProfile
from apps.agents.techniques.variants import title_of

ANALYSE, PLAN, PREPARE, PACKAGE = "analyse", "plan", "prepare", "package"
PACKAGE_UNTRIED = "package-untried"
"""The same package, not tried: asked for where trying it has ended the step."""
EXPORT, ANALYSE_EXPORTED = "export", "analyse-exported"
"""The same model as ONNX, made once before the plan, and what it is like there; other formats say so in the key."""
_REPAIR = re.compile(r"^(?P<root>.+)r(?P<number>\d+)$")
_REJECTED_OUTPUT = "technique."
"""Codes of failures in which a technique's output was refused, which is a rollback."""


def export_key(target: str) -> str:
    """The step that exports the original to the format `target`."""
    return EXPORT if target == Format.ONNX else f"{EXPORT}-{target}"


def analyse_key(target: str) -> str:
    """The step that analyses what was exported to the format `target`."""
    return ANALYSE_EXPORTED if target == Format.ONNX else f"{ANALYSE}-{target}"


def optimize_key(candidate: str) -> str:
    return f"{candidate}/optimize"


def evaluate_key(candidate: str) -> str:
    """The step that measures it on the choosing part."""
    return f"{candidate}/evaluate"


def judge_key(candidate: str) -> str:
    """The step that judges it, where it is a finalist, on the evaluation part."""
    return f"{candidate}/judge"


@dataclass(frozen=True)
class Trial:
    """A candidate with its steps and what came of them."""

    planned: CandidateRecord
    root: str
    exported_by: str | None = None
    """Key of the step that made it, where it is an export: then it only has to be measured."""
    optimize: StepRecord | None = None
    evaluate: StepRecord | None = None
    report: EvaluationReport | None = None
    """On the choosing part."""
    judgement: Judgement | None = None
    """By the choosing part."""
    judge: StepRecord | None = None
    judged: EvaluationReport | None = None
    """On the evaluation part."""

    @property
    def key(self) -> str:
        return self.planned.key

    @property
    def is_export(self) -> bool:
        """Whether its artifact was made before the plan."""
        return self.exported_by is not None

    @property
    def maker(self) -> str:
        """Key of the step that makes its artifact."""
        return self.exported_by or optimize_key(self.key)

    @property
    def started(self) -> bool:
        return (self.evaluate if self.is_export else self.optimize) is not None

    @property
    def failed_step(self) -> StepRecord | None:
        """The step that ended the search for it."""
        for step in (self.optimize, self.evaluate):
            if step is not None and step.status in (Status.FAILED, Status.CANCELLED):
                return step
        return None

    @property
    def failure(self) -> str | None:
        """Why it failed, in a sentence; `None` when it did not."""
        step = self.failed_step or self.failed_judging
        if step is None:
            return None
        return step.error or f"The step {step.request.key} was {step.status.value}."

    @property
    def failed_judging(self) -> StepRecord | None:
        lost = self.judge is not None and self.judge.status in (Status.FAILED, Status.CANCELLED)
        return self.judge if lost else None

    @property
    def fault(self) -> Fault | None:
        """What its failed step failed of, where it was not the technique: then it does not count as tried."""
        return self.failed_step.fault if self.failed_step else None

    @property
    def rolled_back(self) -> bool:
        """Whether its failure is that of an output that was refused."""
        step = self.failed_step
        return step is not None and (step.error_code or "").startswith(_REJECTED_OUTPUT)

    @property
    def decided(self) -> bool:
        return self.judgement is not None or self.failed_step is not None

    @property
    def awaits_evaluation(self) -> bool:
        made = self.optimize is not None and self.optimize.status is Status.COMPLETED
        return made and self.evaluate is None and not self.is_export

    @property
    def speedup(self) -> float:
        return self.report.latency.speedup.value if self.report else 1.0

    @property
    def size_ratio(self) -> float:
        return self.report.size_bytes.ratio if self.report else 1.0

    def attempt(self) -> Attempt:
        """What the search for a repair needs to know of it."""
        step = self.failed_step
        return Attempt(
            key=self.key,
            parameters=self.planned.parameters,
            predicted=self.planned.predicted,
            judgement=self.judgement,
            speedup=self.speedup,
            size_ratio=self.size_ratio,
            drop_points=self.report.primary.drop.value if self.report else 0.0,
            error_code=(step.error_code or "failed") if step is not None else None,
        )

    def record(self, selected: str | None, skipped: Mapping[str, str], ruling: Ruling | None = None) -> CandidateRecord:
        """The candidate as the member sees it now."""
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
    """What is said of a candidate once finalists are judged."""

    reason: str
    judgement: Judgement | None
    """By the evaluation part; `None` of a candidate that was not judged."""
    stands: bool
    """Whether nothing speaks against it: a finalist must be proven, or tolerated in spite of what is open."""


@dataclass(frozen=True)
class Steps:
    """The steps of a session by key."""

    by_key: Mapping[str, StepRecord]

    @classmethod
    def of(cls, state: SessionState) -> Steps:
        return cls({step.request.key: step for step in state.steps})

    def get(self, key: str) -> StepRecord | None:
        return self.by_key.get(key)

    def completed(self, key: str) -> StepRecord | None:
        step = self.by_key.get(key)
        return step if step is not None and step.status is Status.COMPLETED else None

    @property
    def package(self) -> StepRecord | None:
        """The step that packs the answer: the last one that was asked for."""
        return self.get(PACKAGE_UNTRIED) or self.get(PACKAGE)

    @property
    def exported_analyses(self) -> list[StepRecord]:
        """The completed analyses of exports, in the order in which they were asked for."""
        return [
            step
            for step in self.by_key.values()
            if step.request.kind is StepKind.ANALYSE and step.request.parent and step.status is Status.COMPLETED
        ]

    @property
    def active(self) -> int:
        return sum(step.status in ACTIVE for step in self.by_key.values())


def read_trials(
    steps: Steps, plan: Plan, bases: Bases, criteria: Criteria, specs: Mapping[str, TechniqueSpec]
) -> tuple[Trial, ...]:
    """Every candidate that was planned or asked for, each root followed by its repairs."""
    chains: dict[str, list[Trial]] = {
        candidate.key: [Trial(candidate, candidate.key, _exported_by(specs.get(candidate.technique)))]
        for candidate in plan.candidates
    }
    for step in sorted(steps.by_key.values(), key=_repair_number):
        candidate, technique = step.request.candidate, step.request.technique
        match = _REPAIR.match(candidate or "")
        if match is None or technique is None or step.request.key != optimize_key(match[0]):
            continue
        chain, spec = chains[match["root"]], specs[technique]
        profile = bases.profile(spec)
        record = repair_record(
            match[0], chain[-1].key, spec, step.request.parameters, step.request.reason, profile, criteria
        )
        chain.append(Trial(planned=record, root=match["root"]))
    return tuple(_with_steps(trial, steps, criteria) for chain in chains.values() for trial in chain)


def _exported_by(spec: TechniqueSpec | None) -> str | None:
    is_export = spec is not None and spec.family is Family.EXPORT
    return export_key(spec.output_format or "") if spec is not None and is_export else None


def repair_record(
    key: str,
    parent: str,
    spec: TechniqueSpec,
    parameters: Mapping[str, object],
    reason: str,
    profile: GraphProfile,
    criteria: Criteria,
) -> CandidateRecord:
    """A repair's record: all of it follows from its request."""
    return CandidateRecord(
        key=key,
        title=title_of(spec, parameters),
        technique=spec.name,
        parameters=dict(parameters),
        parent=parent,
        predicted=predict(spec, parameters, profile, criteria),
        reason=reason,
    )


def _repair_number(step: StepRecord) -> tuple[str, int]:
    match = _REPAIR.match(step.request.candidate or "")
    return (match["root"], int(match["number"])) if match else ("", 0)


def _with_steps(trial: Trial, steps: Steps, criteria: Criteria) -> Trial:
    optimize, evaluate = steps.get(trial.maker), steps.get(evaluate_key(trial.key))
    if evaluate is None or evaluate.status is not Status.COMPLETED:
        return replace(trial, optimize=optimize, evaluate=evaluate)
    report = EvaluationReport.model_validate(evaluate.result)
    measured = replace(trial, optimize=optimize, evaluate=evaluate, report=report, judgement=judge(report, criteria))
    judging = steps.get(judge_key(trial.key))
    if judging is None or judging.status is not Status.COMPLETED:
        return replace(measured, judge=judging)
    return replace(measured, judge=judging, judged=EvaluationReport.model_validate(judging.result))
