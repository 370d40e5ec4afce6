"""The EvaluationAgent: runs original and candidate on the same examples and judges the results against the criteria."""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Criteria, Target
from apps.agents.contracts.dataset_spec import METRICS, DatasetKind, DatasetSpec
from apps.agents.contracts.errors.evaluation import OutputsDiffer
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import OriginalMemory, Pair
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.datasets.dataset_fit import check_against
from apps.agents.datasets.loading import Arrays, Dataset
from apps.agents.evaluation.findings import findings
from apps.agents.evaluation.plausibility import implausible_gains, suspicions, too_fast, unrelated_outputs
from apps.agents.evaluation.quality import Outputs, OutputsComparison, Question
from apps.agents.evaluation.speed import ReportProgress, Speed, timing_target
from apps.agents.evaluation.verdicts import Measurements, judge, overall
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import Engine
from apps.agents.measuring.intervals import unknown
from apps.agents.measuring.timer import InProcessTimer, Timer

BATCH = 64
"""Examples per batch, if the model's batch axis is dynamic."""
OUTPUTS_SHARE, LATENCY_SHARE, MEMORY_SHARE = 0.55, 0.33, 0.12
"""Shares of the progress bar."""


class EvaluationAgent:
    """Measures both models. Its only decision is the verdict on each constraint (`apps.agents.evaluation.verdicts`)."""

    def __init__(
        self, effort: Effort | None = None, *, batch: int = BATCH, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._effort = effort or Effort()
        self._batch = batch
        self._clock = clock

    def evaluate(
        self,
        original: Engine,
        candidate: Engine,
        dataset: Dataset,
        criteria: Criteria,
        context: Context,
        *,
        machine: Machine,
        seed: int,
        keeps_parameters: bool = False,
        baseline: RuntimeBaseline | None = None,
        part: Part = Part.EVALUATION,
        finalists: int = 1,
        timer: Timer | None = None,
        again: Timer | None = None,
        original_memory: OriginalMemory | None = None,
    ) -> EvaluationReport:
        """Return the report on `candidate`. `dataset` is bound to the original's inputs; the candidate must have the
        same.

        Both models are measured on the examples of `part`. If several `finalists` are judged, they share the
        probability of error that the member's confidence allows, so every interval is wider.

        `keeps_parameters` states that the technique removes no weights, so the file size can be checked against the
        bits.
        `baseline` is the float model in the candidate's runtime; the candidate's speed is checked against it.
        `timer` times both models, by default in this process. `again` repeats the timing if the first speed-up is
        implausible.
        `original_memory` is the original's peak memory as the analysis measured it. It is reused if it was measured
        with the same batch size, the same kind of examples and on this machine.
        Raises `OutputsDiffer`, `OutputsNotFinite`, `OutputUnfit`, `LabelsInvalid`, and errors from the runtime.
        """
        check_against(original.summary, dataset.summary, dataset.spec)
        _check_interface(original, candidate)
        judging_examples = len(dataset.evaluation_indices)
        dataset, question = dataset.measured_on(part), Question(criteria, part, finalists)
        criteria = criteria.model_copy(update={"confidence": question.shared_confidence})
        found = self._outputs(original, candidate, dataset, question, context, seed)
        target, notes = timing_target(original, candidate, criteria.target, dataset.layout)
        feeds = dataset.first(target.batch_size)
        fidelity = found.fidelity.report(found.scorer.agreement(criteria.confidence))
        timer = timer or InProcessTimer(original, candidate, self._effort)
        speed = Speed(timer, again or timer, context, _speed_progress(context)).measure(
            feeds,
            target,
            criteria,
            seed,
            lambda found: too_fast(original.summary, candidate.summary, found, baseline, fidelity.sqnr_db),
        )
        latency = speed.latency
        same_lengths = part is Part.EVALUATION or dataset.spec.kind is not DatasetKind.TEXT
        known = original_memory if same_lengths and _applies(original_memory, target, machine) else None
        memory = _memory(original, candidate, feeds, target, context, known)
        measured = Measurements(
            primary=found.metrics[0],
            examples=found.examples,
            latency=latency,
            candidate_latency_ms=latency.candidate_p50_ms or unknown(latency.candidate.p50_ms),
            size_bytes=_pair(original.summary.size_bytes, candidate.summary.size_bytes),
            peak_memory_bytes=memory,
            confidence=criteria.confidence,
            groups=found.groups,
            group_metric=found.group_metric,
        )
        constraints = judge(criteria.constraints, measured)
        context.progress(1.0, "Evaluated", 0.0)
        report = EvaluationReport(
            task=dataset.spec.task,
            part=part,
            examples=found.examples,
            examples_of_part=found.examples_of_part,
            judging_examples=judging_examples,
            levels=found.levels,
            outcomes=found.outcomes,
            outputs_s=found.seconds,
            metrics=found.metrics,
            fidelity=fidelity,
            flips=found.scorer.flips(),
            classes=found.scorer.classes(),
            groups=found.groups,
            group_metric=found.group_metric,
            latency=latency,
            size_bytes=measured.size_bytes,
            peak_memory_bytes=memory,
            constraints=constraints,
            implausible=(
                *implausible_gains(
                    original.summary,
                    candidate.summary,
                    latency.speedup,
                    measured.primary,
                    keeps_parameters=keeps_parameters,
                    baseline=baseline,
                    sqnr_db=fidelity.sqnr_db,
                ),
                *unrelated_outputs(found.metrics, dataset.spec),
            ),
            verdict=overall(constraints),
            confidence=criteria.confidence,
            machine=machine,
            notes=(
                *notes,
                *found.notes,
                *dataset.notes,
                *_stand_in(dataset.spec, measured.primary),
                *speed.notes,
                *suspicions(original.summary, candidate.summary, identical_outputs=found.fidelity.identical),
            ),
        )
        return report.model_copy(update={"findings": findings(report)})

    def _outputs(
        self,
        original: Engine,
        candidate: Engine,
        dataset: Dataset,
        question: Question,
        context: Context,
        seed: int,
    ) -> Outputs:
        return OutputsComparison(
            original,
            candidate,
            dataset,
            question,
            context,
            batch=self._batch,
            seed=seed,
            share_of_progress=OUTPUTS_SHARE,
            rest_s=3 * self._effort.warmup_s + self._effort.budget_s,
            clock=self._clock,
        ).run()


def _check_interface(original: Engine, candidate: Engine) -> None:
    """Raise `OutputsDiffer` unless the candidate has the original's inputs and outputs, by name and type."""
    for part in ("inputs", "outputs"):
        before, after = (
            [(spec.name, spec.dtype) for spec in getattr(engine.summary, part)] for engine in (original, candidate)
        )
        if before != after:
            sides = [", ".join(f"{name}: {dtype}" for name, dtype in side) for side in (after, before)]
            raise OutputsDiffer(reason=f"its {part} are {sides[0]} instead of {sides[1]}")


def _speed_progress(context: Context) -> ReportProgress:
    return lambda done, doing, eta_s: context.progress(OUTPUTS_SHARE + LATENCY_SHARE * done, doing, eta_s)


def _applies(memory: OriginalMemory | None, target: Target, machine: Machine) -> bool:
    return memory is not None and (memory.batch_size, memory.hostname) == (target.batch_size, machine.hostname)


def _memory(
    original: Engine,
    candidate: Engine,
    feeds: Arrays,
    target: Target,
    context: Context,
    known: OriginalMemory | None,
) -> Pair:
    """Peak memory of both models. If the original's is `known` from the analysis, only the candidate is measured."""
    bytes_of = [] if known is None else [known.peak_bytes]
    for name, engine in (("original", original), ("candidate", candidate))[len(bytes_of) :]:
        done = len(bytes_of)
        fraction = OUTPUTS_SHARE + LATENCY_SHARE + MEMORY_SHARE * done / 2
        context.progress(fraction, f"Measuring the {name}'s memory in a separate process", 2.0 * (2 - done))
        bytes_of.append(engine.peak_memory_bytes(feeds, target))
    return _pair(*bytes_of)


def _pair(original: float, candidate: float) -> Pair:
    """Original over candidate. A candidate of 0 counts as 1, so that the ratio stays finite."""
    return Pair(original=original, candidate=candidate, ratio=original / max(1.0, candidate))


def _stand_in(spec: DatasetSpec, primary: MetricComparison) -> tuple[str, ...]:
    """A note if the chosen metric cannot be computed from this output, such as top-5 with three classes."""
    if spec.metric is None or primary.metric == spec.metric:
        return ()
    return (f"{METRICS[spec.metric].label} cannot be measured on this output; {primary.label} is used instead.",)
