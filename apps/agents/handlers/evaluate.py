"""The job of an evaluate step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from apps.agents.contracts.criteria import CountedSize, Criteria
from apps.agents.contracts.job import JobResult, OutputFile, QuietWait
from apps.agents.contracts.job_arguments import LONGEST_TIMING_S, EvaluateArguments
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.runtimes import Gains, RuntimeBaseline
from apps.agents.contracts.reports.selection import Contest
from apps.agents.contracts.reports.slowdown import Slowdown
from apps.agents.evaluation.agent import BATCH, EvaluationAgent
from apps.agents.evaluation.answers import AnswerWatch
from apps.agents.evaluation.pace import Pace
from apps.agents.evaluation.selection_bias import contest_of
from apps.agents.evaluation.slowdown import PROFILE_S, is_slow, slowdown_of, target_of
from apps.agents.files.compressed_size import compressed_share
from apps.agents.handlers.answers import answers_of, ran_by
from apps.agents.handlers.fault_attribution import blaming
from apps.agents.handlers.litert_size import litert_bytes
from apps.agents.handlers.material import Material
from apps.agents.measuring.effort import SHARE_OF_RANKING, Effort, timing_budget_s
from apps.agents.measuring.engine import Engine
from apps.agents.measuring.fresh_processes import FreshProcessTimer
from apps.agents.measuring.machine import describe_machine
from apps.agents.measuring.scheduling.quiet import Waits
from apps.agents.measuring.timer import InProcessTimer, Timer
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.catalogue import Family, catalogue

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext

WARMUP_SHARE = 0.1
"""The largest share of the timing for warming up a model."""
COMPRESSED_ANYWAY = 32_000_000
"""Files up to this size are also compressed if only the plain file counts: it takes a second."""
REHEARSAL_S = 0.5
"""Timing of the original against itself, which only shows whether the original runs."""


def run(context: JobContext) -> JobResult:
    """Evaluate one candidate. The result's body is an `EvaluationReport`. If it is judged, the file with the role
    `answers` has its answers (`files.answers_file`).

    The inputs are those of `Material`, with the candidate as the model. The arguments are `EvaluateArguments`.
    Candidates that are only ranked are timed in this process.
    """
    job, arguments = context.job, EvaluateArguments.of(context.job)
    criteria, part, material = arguments.criteria, arguments.part, Material(job, arguments)
    pace = Pace(context)
    candidate = material.open(material.file)
    shares = _compressed_shares(context, material, criteria)
    litert = litert_bytes(context, material, candidate, criteria.counted_size)

    effort = effort_for(criteria, arguments.timing_s)
    fresh = _in_fresh_processes(ReportedWaits(context, pace), material, effort, arguments.quiet_wait_s)
    watch = AnswerWatch() if part is Part.EVALUATION else None

    def evaluated(engine: Engine, effort: Effort, baseline: RuntimeBaseline | None, *timers: Timer) -> EvaluationReport:
        timer, again = timers or (None, None)
        batch = max(1, BATCH // arguments.batch_divisor)
        return EvaluationAgent(effort, batch=batch, watch=watch, pace=pace).evaluate(
            material.original,
            engine,
            material.dataset,
            criteria,
            context,
            machine=describe_machine(),
            seed=job.seed,
            keeps_parameters=all(keeps_parameters(one) for one in (*arguments.earlier, arguments.technique)),
            baseline=baseline,
            part=part,
            finalists=max(1, len(arguments.finalists) + arguments.judged_before),
            in_portions=arguments.in_portions,
            timer=timer,
            again=again,
            original_memory=arguments.original_memory,
            compressed_shares=shares,
            litert_bytes=litert,
        )

    with blaming(lambda: evaluated(material.original, Effort(budget_s=REHEARSAL_S), None)):
        ranking = replace(effort, budget_s=effort.budget_s * SHARE_OF_RANKING)
        timer = InProcessTimer(material.original, candidate, ranking) if part is Part.CHOOSING else fresh
        report = evaluated(candidate, effort, arguments.runtime_baseline, timer, fresh)
    found = _explained(context, material, candidate, arguments, report)
    files = (_evidence(context, material, candidate, watch, report, criteria),) if watch is not None else ()
    return JobResult(body=found.model_dump(mode="json"), files=files)


def _evidence(
    context: JobContext,
    material: Material,
    candidate: Engine,
    watch: AnswerWatch,
    report: EvaluationReport,
    criteria: Criteria,
) -> OutputFile:
    """What is kept of a judgement beside its numbers."""
    ran = ran_by(candidate, material.dataset, target_of(report, criteria.target), report.latency.candidate.p50_ms)
    return answers_of(watch, material.dataset, context.out, ran)


def _in_fresh_processes(waits: Waits, material: Material, effort: Effort, wait_s: float) -> FreshProcessTimer:
    files = material.original_file, material.file
    return FreshProcessTimer(*files, material.scratch, effort, wait_s=wait_s, waits=waits)


class ReportedWaits(Waits):
    """Tells the job how long all of its timings wait together."""

    def __init__(self, context: JobContext, pace: Pace) -> None:
        self._context, self._pace, self._before_s = context, pace, 0.0

    def waiting(self, reason: str, waited_s: float, left_s: float) -> None:
        self._report(reason, QuietWait(so_far_s=self._before_s + waited_s, left_s=left_s))

    def ended(self, waited_s: float) -> None:
        self._before_s += waited_s
        self._report("Starting a process that times both models", QuietWait(so_far_s=self._before_s, left_s=0.0))

    def _report(self, doing: str, wait: QuietWait) -> None:
        self._pace.paused(wait.so_far_s)
        self._context.progress(self._pace.share, doing, quiet_wait=wait)


def _explained(
    context: JobContext, material: Material, candidate: Engine, arguments: EvaluateArguments, report: EvaluationReport
) -> EvaluationReport:
    """The report with the sources of its gains, the cost of the choice, and what makes the candidate slow."""
    gains = gains_of(report, arguments.technique, material.format, arguments.runtime_baseline)
    contest = _contest(report, arguments, context.job.seed) if arguments.finalists else None
    slowdown = _slowdown(context, material, candidate, arguments, report)
    return report.model_copy(update={"gains": gains, "contest": contest, "slowdown": slowdown})


def _compressed_shares(context: JobContext, material: Material, criteria: Criteria) -> tuple[float, float] | None:
    """What is left of either file when compressed; `None` if that takes long and does not count."""
    files = (material.original_file.path, material.file.path)
    counts = criteria.counted_size is CountedSize.COMPRESSED
    if not counts and max(file.stat().st_size for file in files) > COMPRESSED_ANYWAY:
        return None
    context.progress(0.0, "Compressing both files")
    original, candidate = (compressed_share(file) for file in files)
    return original, candidate


def _contest(report: EvaluationReport, arguments: EvaluateArguments, seed: int) -> Contest | None:
    """The winner's loss corrected for the choice, among the finalists judged so far and among all ranked candidates."""
    scores, known = arguments.contenders, arguments.outcomes
    ranked = {key: outcomes for key, outcomes in known.get(Part.CHOOSING, {}).items() if key in scores}
    here = dict(known.get(Part.EVALUATION, {}))
    if arguments.candidate is not None:
        here[arguments.candidate] = report.outcomes
    judged = {key: one for key in arguments.finalists if (one := here.get(key)) is not None}
    return contest_of(report, arguments.criteria, {key: scores[key] for key in ranked}, ranked, judged, seed=seed)


def _slowdown(
    context: JobContext, material: Material, candidate: Engine, arguments: EvaluateArguments, report: EvaluationReport
) -> Slowdown | None:
    """Why the candidate is slow; `None` if it is not."""
    if not is_slow(report, arguments.predicted_speedup):
        return None
    context.progress(1.0, "Looking for what makes it slow", 2 * PROFILE_S)
    target = target_of(report, arguments.criteria.target)
    return slowdown_of(material.original, candidate, material.dataset.first(target.batch_size), target, report)


def effort_for(criteria: Criteria, longest_s: float = LONGEST_TIMING_S) -> Effort:
    """The timing that fits the budget: a quarter of each candidate's share of the time, within bounds."""
    budget_s = timing_budget_s(criteria.budget, longest_s)
    return Effort(budget_s=budget_s, warmup_s=min(Effort.warmup_s, WARMUP_SHARE * budget_s))


def gains_of(
    report: EvaluationReport, technique: str | None, made: str, baseline: RuntimeBaseline | None
) -> Gains | None:
    """How much of the gain is due to the runtime, for a candidate in the format `made`; `None` if the runtime did not
    change."""
    spec = catalogue().get(technique) if technique else None
    speedup, size_ratio = report.latency.speedup.value, report.size_bytes.ratio
    if baseline is not None:
        return Gains(
            runtime=baseline.runtime,
            runtime_speedup=baseline.speedup,
            runtime_size_ratio=baseline.size_ratio,
            technique=_short(spec.label, baseline.runtime) if spec else "the technique",
            technique_speedup=speedup / baseline.speedup,
            technique_size_ratio=size_ratio / baseline.size_ratio,
            in_turns=baseline.in_turns,
        )
    if spec is None or spec.family is not Family.EXPORT:
        return None
    return Gains(runtime=runtime_of(made), runtime_speedup=speedup, runtime_size_ratio=size_ratio)


def _short(label: str, runtime: str) -> str:
    """A technique's label without its runtime's name: `LiteRT dynamic range` becomes `dynamic range`."""
    rest = label.removeprefix(f"{runtime} ")
    return rest[:1].lower() + rest[1:] if rest[1:2].islower() else rest


def keeps_parameters(technique: str | None) -> bool:
    """Whether the technique changes only number types and the graph. An unknown one may change more, so false."""
    spec = catalogue().get(technique) if technique else None
    return spec is not None and spec.family in (Family.QUANTIZATION, Family.GRAPH, Family.CALIBRATION)
