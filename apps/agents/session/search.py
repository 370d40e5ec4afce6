"""The manager's view of a session once it has a plan: what was measured, and what is worth trying next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from apps.agents.contracts.chain import Application, Chain, key_of, sources
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.contracts.state import ACTIVE, CandidateRecord, Plan, SessionState, Status, StepRecord
from apps.agents.evaluation.selection import REAL_CHANGE, Judgement, bar, best
from apps.agents.measuring.statistics.certainty import MOST_FINALISTS, Contender, finalists, shared_confidence
from apps.agents.planning.agent import TYPE_CHOICES, type_choice
from apps.agents.planning.availability import obstacle_to
from apps.agents.planning.baseline import Measured, against_baseline, is_baseline
from apps.agents.planning.bases import Bases, bases_of_analyses
from apps.agents.planning.chains import Heads
from apps.agents.planning.ordering import (
    COLLAPSE_POINTS,
    KNOWN_SURPRISE,
    SURPRISE,
    obstacle,
    optimistic_gain,
    predicted_gain,
    worth,
)
from apps.agents.planning.repair import Repair, Stop, next_repair
from apps.agents.session.candidates import Trial, read_trials, repair_record
from apps.agents.session.finalists import Finals, contenders
from apps.agents.session.steps import ANALYSE, LOST, PLAN, Steps, optimize_key
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.catalogue import Family, Risk, TechniqueSpec
from apps.agents.techniques.compatibility import format_label

NO_EFFECT = TechniqueNoEffect.code
FLOAT_MODELS_UNTIL = 0.5
"""After this share of a session's minutes, float models are no longer measured only for comparison."""
JUDGING_TAKES = 1.5
"""How many times longer judging takes than ranking to load and time, because it times in several processes."""
FAILURES_END_TECHNIQUE = 3
"""A technique that failed this often and never worked is not tried again in the session."""


@dataclass(frozen=True)
class Option:
    """A candidate that could be started now, and its worth."""

    candidate: CandidateRecord
    worth: float


@dataclass(frozen=True)
class Shared:
    """First links that several candidates share. They are applied once for all of them."""

    chain: Chain
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Search:
    """A session after its plan: trials, judgements, and the remaining options. Everything follows from `state`."""

    state: SessionState
    specs: Mapping[str, TechniqueSpec]

    @cached_property
    def steps(self) -> Steps:
        return Steps.of(self.state)

    @cached_property
    def analysis(self) -> AnalysisReport:
        return AnalysisReport.model_validate(self._result(ANALYSE))

    @cached_property
    def plan(self) -> Plan:
        """The plan with chains that can be applied: without optional links that failed or may not be used."""
        heads = Heads(self.bases, self.specs, lambda technique: self.unavailable(technique) is None)
        plan = Plan.model_validate(self._result(PLAN))
        candidates = tuple(self._applicable(heads.in_full(one)) for one in plan.candidates)
        return plan.model_copy(update={"candidates": candidates})

    def _applicable(self, record: CandidateRecord) -> CandidateRecord:
        """The record with the links that are, or will be, applied: optional links that cannot be are removed."""
        own = optimize_key(record.key)
        way = self.steps.way_to(own) if self.steps.get(own) else None
        kept: Chain = ()
        for link in record.steps:
            if not link.optional or self._applies((*kept, link), way):
                kept = (*kept, link)
        return record if kept == record.steps else record.model_copy(update={"steps": kept})

    def _applies(self, chain: Chain, way: frozenset[str] | None) -> bool:
        if way is not None:
            return key_of(chain) in way
        return self.steps.lost(chain) is None and self.unavailable(chain[-1].technique) is None

    def _result(self, key: str) -> dict[str, object]:
        step = self.steps.completed(key)
        assert step is not None, f"the search is read after {key}"
        return step.result

    @cached_property
    def exported(self) -> tuple[AnalysisReport, ...]:
        """The analyses of the models that the original was exported to."""
        return tuple(AnalysisReport.model_validate(step.result) for step in self.steps.exported_analyses)

    @property
    def exports_failed(self) -> Mapping[str, str]:
        """By the key of an export's step: why the plan does not contain techniques that need it, in a sentence."""
        plan = self.steps.get(PLAN)
        reasons = plan.request.parameters.get("export_failures", {}) if plan else {}
        formats = {step.request.key: self._exported_by(step.request.technique) for step in self.steps.sharing}
        return {
            key: f"The export failed, so {format_label(target)} techniques are left out: {reasons[target]}"
            for key, target in formats.items()
            if target is not None and target in reasons
        }

    def _exported_by(self, technique: str | None) -> str | None:
        """The format to which `technique` exports; `None` if it is not an export."""
        spec = self.specs.get(technique or "")
        return spec.output_format if spec is not None and spec.family is Family.EXPORT else None

    @cached_property
    def bases(self) -> Bases:
        return bases_of_analyses(self.analysis, self.exported, self.state.dataset.task)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        return read_trials(self.steps, self.plan, self.bases, self.state.criteria, self.specs)

    @cached_property
    def judged(self) -> Mapping[str, Judgement]:
        """The judgement of each measured candidate from the validation part, by key."""
        return {trial.key: trial.judgement for trial in self.trials if trial.judgement is not None}

    # --- finalists ---------------------------------------------------------------------------------------------------

    @cached_property
    def by_key(self) -> Mapping[str, Trial]:
        return {trial.key: trial for trial in self.trials}

    @cached_property
    def contenders(self) -> tuple[Contender, ...]:
        return contenders(self.by_key, self.state.criteria)

    @cached_property
    def finals(self) -> Finals | None:
        """The finalists, from the first request to judge one of them; `None` before that."""
        asked = next((trial.judge for trial in self.trials if trial.judge is not None), None)
        if asked is None:
            return None
        return Finals(tuple(asked.request.parameters["finalists"]), self.by_key, self.state.criteria)

    @property
    def is_open(self) -> bool:
        """Whether candidates and repairs may still be started. None is once judging of a finalist was requested."""
        return self.finals is None and self.steps.package is None

    def new_finals(self, most: int = MOST_FINALISTS) -> Finals | None:
        """The finalists among the candidates measured so far; `None` if none is worth judging."""
        keys = finalists(self.contenders, self.state.criteria.confidence, most)
        return Finals(keys, self.by_key, self.state.criteria) if keys else None

    def judging_parameters(self, trial: Trial, finals: Finals) -> dict[str, Any]:
        """The parameters of the step that judges a finalist: which finalists share the chance of error, and among which
        candidates it was chosen."""
        return {
            "part": Part.EVALUATION.value,
            "finalists": list(finals.keys),
            "confidence": shared_confidence(self.state.criteria.confidence, len(finals.keys)),
            "contenders": {one.key: round(one.score, 6) for one in self.contenders},
            **self.held_against(trial),
        }

    @property
    def judging_s(self) -> float:
        """The estimated time to judge one candidate, from the times that ranking took; 0 before one is measured."""
        estimates = [_judging_s(trial) for trial in self.trials if trial.report is not None]
        return sum(estimates) / len(estimates) if estimates else 0.0

    @cached_property
    def bar(self) -> float:
        return bar(self.judged)

    def against_baseline(self, *, closed: bool) -> Mapping[str, str]:
        """By key: how each clever 4-bit method compares with plain rounding. Methods without a measured baseline are
        included once the search is `closed`."""
        measured = [Measured(trial.planned, trial.report) for trial in self.trials if trial.report is not None]
        return against_baseline(measured, self.specs, closed=closed)

    @property
    def started(self) -> int:
        """How many candidates of the budget are spent. Candidates lost to a fault that is not their own do not
        count."""
        return sum(trial.started and trial.fault is None for trial in self.trials)

    @property
    def titles(self) -> Mapping[str, str]:
        return {trial.key: trial.planned.title for trial in self.trials}

    # --- what candidates share ---------------------------------------------------------------------------------------

    @property
    def sharing(self) -> bool:
        """Whether a shared link is being applied."""
        return any(step.status in ACTIVE for step in self.steps.sharing)

    def to_share(self, options: Sequence[Option]) -> Mapping[str, Shared]:
        """The next shared links to apply for these candidates, by the key of the step."""
        found: dict[str, Shared] = {}
        for option in options:
            trial = self.by_key.get(option.candidate.key)
            chain = self.steps.to_make(option.candidate.steps, whole=trial is not None and trial.shared)
            if chain is not None:
                known = found.get(key_of(chain), Shared(chain, ()))
                found[key_of(chain)] = Shared(chain, (*known.candidates, option.candidate.key))
        return found

    @property
    def skipped_links(self) -> tuple[tuple[Application, StepRecord], ...]:
        """The optional links that could not be applied, each with its step."""
        written = Plan.model_validate(self._result(PLAN)).candidates
        optional = {link.technique: link for one in written for link in one.steps if link.optional}
        lost = [step for step in self.steps.sharing if step.status in LOST]
        return tuple((optional[name], step) for step in lost if (name := step.request.technique or "") in optional)

    def _lost_link(self, trial: Trial) -> str | None:
        """Why a shared link of a candidate could not be applied; `None` if all could, or have not been tried yet."""
        chain = trial.planned.steps
        for part in (*sources(chain), *([chain] if trial.shared else ())):
            if (step := self.steps.lost(part)) is None:
                continue
            title = part[-1].title
            if part != chain:
                return f"Left out: {title}, which comes before it, failed."
            if step.error_code == NO_EFFECT:
                return f"Left out: {title} has nothing to change in this model."
            return f"Left out: {title} failed already for other candidates that start with it."
        return None

    # --- other runtimes ----------------------------------------------------------------------------------------------

    def _export_of(self, candidate: CandidateRecord) -> Application | None:
        """The export from which a candidate starts; `None` if it starts from the original or is the export itself."""
        first = candidate.steps[0]
        return first if len(candidate.steps) > 1 and self._exported_by(first.technique) else None

    def _float_model_of(self, candidate: CandidateRecord) -> Trial | None:
        """The candidate that consists only of the export from which this one starts."""
        export = self._export_of(candidate)
        return next((trial for trial in self.trials if export and trial.planned.steps == (export,)), None)

    def awaits_float_model(self, candidate: CandidateRecord) -> bool:
        """Whether the float model in the same runtime, with which it will be compared, is being measured."""
        first = self._float_model_of(candidate)
        return first is not None and first.started and not first.decided

    @property
    def to_evaluate(self) -> tuple[Trial, ...]:
        """Candidates that are made and can be measured now. If the float model in the same runtime has been started,
        they wait for it."""
        awaiting = [trial for trial in self.trials if trial.awaits_evaluation]
        return tuple(trial for trial in awaiting if not self.awaits_float_model(trial.planned))

    def held_against(self, trial: Trial) -> dict[str, Any]:
        """The parameters of a candidate's evaluation: the float model in its runtime, if the original's is another.

        Its numbers are from a comparison with the original or, without one, from the two analyses.
        """
        export = self._export_of(trial.planned)
        exported = self._exported_by(export.technique) if export else None
        if exported is None or runtime_of(exported) == runtime_of(self.analysis.model.format):
            return {}
        first = self._float_model_of(trial.planned)
        report = first.report if first else None
        lead = self.bases.profile(self.specs[trial.planned.technique]).lead
        baseline = RuntimeBaseline(
            runtime=runtime_of(exported),
            speedup=report.latency.speedup.value if report else lead.speedup,
            size_ratio=report.size_bytes.ratio if report else lead.size_ratio,
            in_turns=report is not None,
        )
        return {"runtime_baseline": baseline.model_dump(mode="json")}

    def _starting_from(self, export: CandidateRecord) -> list[Trial]:
        """Candidates that start from the candidate `export` and have not been started."""
        return [
            trial
            for trial in self.trials
            if not trial.started
            and (first := self._float_model_of(trial.planned)) is not None
            and first.key == export.key
        ]

    @property
    def _room_for_float_models(self) -> bool:
        """Whether the budget allows a float model in addition to a candidate that is compared with it. Without it, the
        numbers from the analyses are used."""
        budget = self.state.criteria.budget
        return budget.candidates - self.started >= 2 and self.state.worked_s <= FLOAT_MODELS_UNTIL * 60 * budget.minutes

    def _awaited_float_model(self, candidate: CandidateRecord) -> bool:
        """Whether it is the float model in another runtime, and a candidate worth trying will be compared with it."""
        if not self._room_for_float_models:
            return False
        return any(self.passed_over(trial) is None for trial in self._starting_from(candidate))

    def _before_what_starts_from_it(self, option: Option, options: list[Option]) -> Option:
        """Moves the float model of a runtime to just before the first candidate that starts from it."""
        later = {trial.key for trial in self._starting_from(option.candidate)}
        held = [other.worth for other in options if other.candidate.key in later]
        if not held or not self._room_for_float_models:
            return option
        return Option(option.candidate, max(option.worth, max(held) * (1 + 2e-6)))

    # --- options -----------------------------------------------------------------------------------------------------

    def unavailable(self, technique: str) -> str | None:
        """Why a technique cannot be used; `None` if it can."""
        spec = self.specs.get(technique)
        if spec is None:
            return f"The technique {technique} is not installed here."
        basis = self.bases.of(spec) or self.bases.original
        return obstacle_to(
            spec,
            criteria=self.state.criteria,
            model=basis.model,
            dataset=self.state.dataset,
            libraries=self.state.libraries,
            disabled=self.state.disabled_techniques,
            analysis=basis.analysis,
        )

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """Candidates worth starting now, the most promising first."""
        options = [
            Option(trial.planned, self._worth(trial.planned))
            for trial in self.trials
            if not trial.started and self.passed_over(trial) is None
        ]
        options += [option for chain in self.chains if (option := self._repair_option(chain)) is not None]
        options = [self._before_what_it_judges(option, options) for option in options]
        options = [self._before_what_starts_from_it(option, options) for option in options]
        return tuple(sorted(options, key=lambda option: (-option.worth, option.candidate.key)))

    def _before_what_it_judges(self, option: Option, options: list[Option]) -> Option:
        """Moves plain rounding to just before the first method that has to beat it, or to the front if one was
        tried."""
        clever = [trial for trial in self.trials if self._has_to_beat(trial.planned, option.candidate)]
        judged = [other.worth for other in options if self._has_to_beat(other.candidate, option.candidate)]
        if any(trial.started for trial in clever):
            return Option(option.candidate, math.inf)
        return Option(option.candidate, max(judged) * (1 + 1e-6)) if judged else option

    def _has_to_beat(self, clever: CandidateRecord, plain: CandidateRecord) -> bool:
        one, other = self.specs.get(plain.technique), self.specs.get(clever.technique)
        return bool(one and other and is_baseline(one, plain.parameters, other, clever.parameters))

    def _awaited_baseline(self, candidate: CandidateRecord) -> bool:
        """Whether a method that has to beat `candidate` was tried or is worth trying. `candidate` is then measured
        too."""
        clever = [trial for trial in self.trials if self._has_to_beat(trial.planned, candidate)]
        return any(trial.started or self.passed_over(trial) is None for trial in clever)

    def passed_over(self, trial: Trial) -> str | None:
        """Why a planned candidate that was not started is not worth starting now; `None` if it is."""
        candidate, criteria = trial.planned, self.state.criteria
        if reason := self._cannot_run(candidate.technique) or self._lost_link(trial):
            return reason
        if self._is_new_type_choice(candidate) or self._awaited_baseline(candidate):
            return None
        if self._awaited_float_model(candidate):
            return None
        if lost := self._collapsed_siblings(candidate):
            return f"Left out: {' and '.join(lost)}, which quantize the same operators, lost far too much."
        correction, known = self._correction(candidate), self._measured(candidate)
        surprise = KNOWN_SURPRISE if self._is_known_choice(candidate) else SURPRISE
        profile = self.bases.profile(self.specs[candidate.technique])
        if broken := obstacle(candidate.predicted, profile, criteria, correction, surprise):
            return f"Left out: {broken}{_corrected(correction)}."
        hope = optimistic_gain(candidate.predicted, criteria, correction if known else None, surprise)
        if hope > self.bar * (REAL_CHANGE if self.judged else 1.0):
            return None
        leader = best(self.judged)
        against = f"{leader} ranks with {self.judged[leader].score:.2f}" if leader else "the original has 1"
        return f"Left out: its score is at best {hope:.2f}{_corrected(correction)}, but {against}."

    def _cannot_run(self, technique: str) -> str | None:
        if reason := self.unavailable(technique):
            return f"Left out: {reason}"
        attempts = [trial.optimize for trial in self.trials if trial.planned.technique == technique and trial.optimize]
        failures = sum(step.status is Status.FAILED for step in attempts)
        if failures >= FAILURES_END_TECHNIQUE and not any(step.status is Status.COMPLETED for step in attempts):
            return f"Left out: {self.specs[technique].label} failed {failures} times in this session and never worked."
        return None

    def _is_new_type_choice(self, candidate: CandidateRecord) -> bool:
        """Whether it is a new choice of number types, and fewer than `TYPE_CHOICES` were measured."""
        choice = self._type_choice(candidate)
        return choice is not None and choice not in self._choices and len(self._choices) < TYPE_CHOICES

    def _type_choice(self, candidate: CandidateRecord) -> tuple[str, ...] | None:
        return type_choice(self.specs.get(candidate.technique), candidate.parameters)

    def _is_known_choice(self, candidate: CandidateRecord) -> bool:
        choice = self._type_choice(candidate)
        return any(trial.judgement and self._type_choice(trial.planned) == choice for trial in self.trials)

    @cached_property
    def _choices(self) -> frozenset[tuple[str, ...]]:
        """Number types that were measured or are being measured."""
        going = [trial for trial in self.trials if trial.started and trial.failed_step is None]
        return frozenset(choice for trial in going if (choice := self._type_choice(trial.planned)))

    def _correction(self, candidate: CandidateRecord) -> tuple[float, float]:
        """The mean of measured over predicted speed-up and size ratio, over the technique's measured candidates."""
        measured = self._measured(candidate)
        return (
            _mean_ratio([trial.speedup / trial.planned.predicted.speedup for trial in measured]),
            _mean_ratio([trial.size_ratio / trial.planned.predicted.size_ratio for trial in measured]),
        )

    def _measured(self, candidate: CandidateRecord) -> list[Trial]:
        """The measured candidates that apply the same technique to the same model: what is true of a pruned one says
        nothing of the whole one."""
        return [
            trial
            for trial in self.trials
            if trial.judgement
            and trial.planned.technique == candidate.technique
            and _made_of(trial.planned) == _made_of(candidate)
        ]

    def _worth(self, candidate: CandidateRecord) -> float:
        gain = predicted_gain(candidate.predicted, self.state.criteria, self._correction(candidate))
        risk = Risk.HIGH if self._lossy_siblings(candidate) else candidate.predicted.risk
        return worth(gain, candidate.predicted, self.specs[candidate.technique], risk)

    def _lossy_siblings(self, candidate: CandidateRecord) -> list[Trial]:
        """Candidates that quantize the same operators with the same technique and lost too much."""
        return [
            trial
            for trial in self._measured(candidate)
            if trial.judgement and trial.judgement.loses_metric and self._same_scope(trial.planned, candidate)
        ]

    def _same_scope(self, one: CandidateRecord, other: CandidateRecord) -> bool:
        scope = self.specs[other.technique].knowledge.scope
        return scope(one.parameters) == scope(other.parameters)

    def _collapsed_siblings(self, candidate: CandidateRecord) -> list[str]:
        """Keys of such candidates that lost several times the limit, if there are at least `TYPE_CHOICES`; else empty.

        Another number type cannot repair such a loss.
        """
        limit = self.state.criteria.constraints.max_metric_drop_points
        if limit is None:
            return []
        hopeless = max(COLLAPSE_POINTS, COLLAPSE_POINTS * limit)
        keys = [trial.key for trial in self._lossy_siblings(candidate) if trial.attempt().drop_points > hopeless]
        return keys if len(keys) >= TYPE_CHOICES else []

    # --- repairs -----------------------------------------------------------------------------------------------------

    @cached_property
    def chains(self) -> tuple[tuple[Trial, ...], ...]:
        """The roots that were started, each with its repairs."""
        roots = [trial.key for trial in self.trials if trial.started and trial.root == trial.key]
        return tuple(tuple(trial for trial in self.trials if trial.root == root) for root in roots)

    def repair_of(self, chain: tuple[Trial, ...]) -> Repair | Stop | None:
        """The next repair of a chain, or why it ends; `None` while one of its candidates is undecided."""
        if not all(trial.decided for trial in chain):
            return None
        spec = self.specs[chain[0].planned.technique]
        attempts = tuple(trial.attempt() for trial in chain)
        others = tuple(trial.attempt() for trial in self._measured(chain[-1].planned) if trial.root != chain[0].root)
        return next_repair(attempts, spec, self.bases.profile(spec), self.state.criteria, self.bar, others)

    def _repair_option(self, chain: tuple[Trial, ...]) -> Option | None:
        technique = chain[0].planned.technique
        repair = self.repair_of(chain)
        if not isinstance(repair, Repair) or self._cannot_run(technique):
            return None
        key = f"{chain[0].key}r{len(chain)}"
        spec, criteria, before = self.specs[technique], self.state.criteria, chain[-1].planned
        record = repair_record(key, before, spec, repair.parameters, repair.reason, self.bases, criteria)
        gain = predicted_gain(repair.prediction, criteria, repair.correction)
        return Option(record, worth(gain, record.predicted, spec, Risk.MEDIUM))


def _judging_s(trial: Trial) -> float:
    """The estimated time to judge a candidate: outputs in proportion to the number of test examples, plus timing."""
    report, evaluate = trial.report, trial.evaluate
    if report is None or evaluate is None or evaluate.duration_s is None:
        return 0.0
    outputs_s = report.outputs_s or 0.0
    more = (report.judging_examples or report.examples) / report.examples
    return JUDGING_TAKES * max(0.0, evaluate.duration_s - outputs_s) + outputs_s * more


def _made_of(candidate: CandidateRecord) -> tuple[tuple[str, dict[str, Any]], ...]:
    """What is applied before a candidate's last link."""
    return tuple((link.technique, link.parameters) for link in candidate.steps[:-1])


def _mean_ratio(ratios: list[float]) -> float:
    """The geometric mean, limited to the range from 0.5 to 2, so that one surprise does not overturn all
    predictions."""
    if not ratios:
        return 1.0
    mean = math.exp(sum(math.log(max(ratio, 1e-6)) for ratio in ratios) / len(ratios))
    return min(2.0, max(0.5, mean))


def _corrected(correction: tuple[float, float]) -> str:
    return "" if correction == (1.0, 1.0) else " after the measurements of similar candidates"
