"""A session after its plan: what was planned, measured and judged. Everything follows from the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from apps.agents.contracts.chain import Application, Chain, key_of, sources
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.experience import Learned
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.contracts.state import ACTIVE, CandidateRecord, Plan, SessionState, StepRecord
from apps.agents.evaluation.selection import Judgement, bar
from apps.agents.measuring.statistics.certainty import (
    HOPELESS,
    MOST_FINALISTS,
    Contender,
    finalists,
    outcomes,
    shared_confidence,
)
from apps.agents.planning.availability import obstacle_to
from apps.agents.planning.baseline import Measured, against_baseline
from apps.agents.planning.bases import Bases, bases_of_analyses
from apps.agents.planning.chains import Heads
from apps.agents.planning.minutes import Minutes
from apps.agents.session.candidates import Trial, read_trials
from apps.agents.session.earlier import judged_before, with_measured
from apps.agents.session.finalists import Finals, contenders
from apps.agents.session.halving import can_rule_out, saves_time
from apps.agents.session.reading import Reading
from apps.agents.session.refined import Refined, RefinedCandidates, refinements
from apps.agents.session.steps import ANALYSE, LOST, PLAN, Steps, optimize_key
from apps.agents.session.time_left import TimeLeft
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.compatibility import format_label
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge

NO_EFFECT = TechniqueNoEffect.code
_KEEPING = frozenset({Family.EXPORT, Family.GRAPH, Family.QUANTIZATION, Family.CALIBRATION})
"""Families of techniques that keep the number of weights and do not train them."""


@dataclass(frozen=True)
class Overview:
    """Trials, judgements and finalists of a session with a plan."""

    state: SessionState
    specs: Mapping[str, TechniqueSpec]
    reading: Reading = field(default_factory=Reading, repr=False, compare=False)

    @cached_property
    def steps(self) -> Steps:
        return Steps.of(self.state, self.reading)

    @cached_property
    def analysis(self) -> AnalysisReport:
        return AnalysisReport.model_validate(self._result(ANALYSE))

    @cached_property
    def plan(self) -> Plan:
        """The plan with what refinements added, and chains that can be applied: without optional links that failed or
        may not be used."""
        heads = Heads(self.bases, self.specs, lambda technique: self.unavailable(technique) is None)
        plan = with_measured(self._written_plan, self.state)
        records = (*map(heads.in_full, plan.candidates), *self.refined.values())
        return plan.model_copy(update={"candidates": tuple(map(self._applicable, records))})

    @cached_property
    def refinements(self) -> tuple[Refined, ...]:
        """The refine steps, in the order in which they were requested."""
        return refinements(self.steps)

    @cached_property
    def refined(self) -> Mapping[str, CandidateRecord]:
        """The candidates that refine steps proposed, by key. They are part of the plan from then on."""
        return {record.key: record for record in self.refined_candidates.records()}

    @cached_property
    def refined_candidates(self) -> RefinedCandidates:
        return RefinedCandidates(self.refinements, self.specs, self.bases, self.state.criteria)

    @property
    def _written_plan(self) -> Plan:
        """The plan as its step made it."""
        step = self.steps.completed(PLAN)
        assert step is not None, "the search is read after the plan"
        return self.reading.plan(step)

    def _applicable(self, record: CandidateRecord) -> CandidateRecord:
        """The record with the links that are, or will be, applied: optional links that cannot be are removed."""
        if not any(link.optional for link in record.steps):
            return record
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
        return read_trials(self.steps, self.plan, self.bases, self.minutes, self.specs, self.knowledge)

    @cached_property
    def knowledge(self) -> Knowledge:
        """The knowledge with which the plan was made: the tables, and what the plan's step keeps of the history."""
        plan = self.steps.get(PLAN)
        kept = plan.request.parameters.get("learned") if plan else None
        return Knowledge(learned=Learned.model_validate(kept)) if kept else TABLES

    @cached_property
    def minutes(self) -> Minutes:
        """Predicts how long repairs take, as the plan does for its candidates."""
        dataset = self.state.dataset
        return Minutes(self.state.criteria, dataset, dataset.training_examples / max(1, dataset.examples))

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
        keys, before = tuple(asked.request.parameters["finalists"]), judged_before(self.state)
        return Finals(keys, self.by_key, self.state.criteria, before)

    @property
    def is_open(self) -> bool:
        """Whether candidates and repairs may still be started. None is once judging of a finalist was requested."""
        return self.finals is None and self.steps.package is None

    def new_finals(self, most: int = MOST_FINALISTS) -> Finals | None:
        """The finalists among the candidates measured so far; `None` if none is worth judging."""
        before = judged_before(self.state)
        keys = finalists(self.contenders, self.state.criteria.confidence, most, before)
        return Finals(keys, self.by_key, self.state.criteria, before) if keys else None

    @cached_property
    def finals_now(self) -> Finals | None:
        """The finalists if the search ended now; `None` if none is worth judging."""
        return self.new_finals()

    def chances_of_proof(self, finals: Finals) -> dict[str, float]:
        """By finalist: the probability that judging proves it, as far as the validation part tells."""
        confidence = shared_confidence(self.state.criteria.confidence, finals.sharing)
        return {one.key: one.chance(confidence) for one in self.contenders if one.key in finals.keys}

    def judging_parameters(self, trial: Trial, finals: Finals) -> dict[str, Any]:
        """The parameters of the step that judges a finalist: which finalists share the chance of error, and among which
        candidates it was chosen."""
        return {
            "part": Part.EVALUATION.value,
            "finalists": list(finals.keys),
            "confidence": shared_confidence(self.state.criteria.confidence, finals.sharing),
            **({"judged_before": finals.before} if finals.before else {}),
            "contenders": {one.key: round(one.score, 6) for one in self.contenders},
            **self.evaluated_with(trial),
        }

    def evaluated_with(self, trial: Trial) -> dict[str, Any]:
        """Parameters of every evaluation of a candidate: what it is compared with, and its essential links."""
        earlier = [link.technique for link in trial.planned.essential_links]
        return {**self.held_against(trial), **({"earlier": earlier} if earlier else {})}

    @property
    def ranked_with(self) -> dict[str, Any]:
        """Parameters of every evaluation on the validation part."""
        limits, outputs = self.state.criteria.constraints, len(self.analysis.model.outputs)
        portions = saves_time(self.analysis, self.state.dataset) and can_rule_out(self.state.metric, limits, outputs)
        return {"part": Part.CHOOSING.value, **({"in_portions": True} if portions else {})}

    @cached_property
    def time_left(self) -> TimeLeft:
        return TimeLeft(self.state, self.specs, self.steps, self.trials)

    @cached_property
    def held(self) -> tuple[tuple[float, float], ...]:
        """What would be delivered if the search ended now: scores, the highest first, with their probabilities.

        If nothing can be proven with these examples, the best accepted candidate counts as certain: the criteria may
        tolerate it.
        """
        finals = self.finals_now
        if finals is None:
            return ((self.bar, 1.0),)
        chosen = [one for one in self.contenders if one.key in finals.keys]
        chances = self.chances_of_proof(finals)
        if all(chance < HOPELESS for chance in chances.values()):
            return ((self.bar, 1.0),)
        return outcomes(chosen, chances)

    @cached_property
    def bar(self) -> float:
        return bar(self.judged)

    def against_baseline(self, *, closed: bool) -> Mapping[str, str]:
        """By key: how each clever 4-bit method compares with plain rounding. Methods without a measured baseline are
        included once the search is `closed`."""
        measured = [Measured(trial.planned, trial.report) for trial in self.trials if trial.report is not None]
        return against_baseline(measured, self.specs, closed=closed)

    @cached_property
    def started(self) -> int:
        """How many candidates of the budget are spent. Candidates lost to a fault that is not their own do not
        count."""
        return sum(trial.started and trial.fault is None for trial in self.trials)

    @property
    def titles(self) -> Mapping[str, str]:
        return {trial.key: trial.planned.title for trial in self.trials}

    # --- what candidates share ---------------------------------------------------------------------------------------

    def waits(self, candidate: CandidateRecord) -> bool:
        """Whether a shared link that a candidate needs is being made."""
        chain, trial = candidate.steps, self.by_key.get(candidate.key)
        parts = (*sources(chain), *([chain] if trial is not None and trial.shared else ()))
        return any((step := self.steps.made(part)) is not None and step.status in ACTIVE for part in parts)

    def lost_link(self, trial: Trial) -> str | None:
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

    @property
    def skipped_links(self) -> tuple[tuple[Application, StepRecord], ...]:
        """The optional links that could not be applied, each with its step."""
        optional = {
            link.technique: link for one in self._written_plan.candidates for link in one.steps if link.optional
        }
        lost = [step for step in self.steps.sharing if step.status in LOST]
        return tuple((optional[name], step) for step in lost if (name := step.request.technique or "") in optional)

    # --- other runtimes ----------------------------------------------------------------------------------------------

    def _export_of(self, candidate: CandidateRecord) -> Application | None:
        """The export from which a candidate starts; `None` if it starts from the original or is the export itself."""
        first = candidate.steps[0]
        return first if len(candidate.steps) > 1 and self._exported_by(first.technique) else None

    def _float_model_of(self, candidate: CandidateRecord) -> Trial | None:
        """The candidate that consists only of the export from which this one starts."""
        export = self._export_of(candidate)
        return next((trial for trial in self.float_models if export and trial.planned.steps == (export,)), None)

    @cached_property
    def float_models(self) -> tuple[Trial, ...]:
        """The candidates that consist only of an export."""
        exports = (trial for trial in self.trials if len(trial.planned.steps) == 1)
        return tuple(trial for trial in exports if self._exported_by(trial.planned.technique))

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

    # --- availability -------------------------------------------------------------------------------------------------

    def unavailable(self, technique: str) -> str | None:
        """Why a technique cannot be used; `None` if it can."""
        if technique not in self._obstacles:
            self._obstacles[technique] = self._unavailable(technique)
        return self._obstacles[technique]

    @cached_property
    def _obstacles(self) -> dict[str, str | None]:
        """The answers so far."""
        return {}

    def _unavailable(self, technique: str) -> str | None:
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
            student=self.state.student,
        )
