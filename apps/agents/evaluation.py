"""The EvaluationAgent: original and candidate side by side on the same examples, judged against the criteria."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from apps.agents.context import Context
from apps.agents.criteria import Criteria, Target
from apps.agents.dataset_fit import check_against
from apps.agents.dataset_spec import METRICS, DatasetSpec
from apps.agents.datasets import Arrays, Dataset
from apps.agents.errors import OutputsDiffer
from apps.agents.layout import Layout
from apps.agents.measuring import Effort, compare_latency
from apps.agents.outputs import Outputs, OutputsComparison, Question
from apps.agents.plausibility import implausible_gains, suspicions, unrelated_outputs
from apps.agents.reports import (
    EvaluationReport,
    LatencyComparison,
    Machine,
    MetricComparison,
    Pair,
    Part,
    RuntimeBaseline,
)
from apps.agents.runners import Engine, Run, fixed_batch
from apps.agents.statistics import median_interval
from apps.agents.verdicts import Measurements, judge, overall

BATCH = 64
"""Examples a batch, where the model's batch axis is dynamic."""
OUTPUTS_SHARE, LATENCY_SHARE, MEMORY_SHARE = 0.55, 0.33, 0.12
"""Of the progress bar."""
NOISY = 0.05


class EvaluationAgent:
    """Measures; decides nothing but the verdict on each constraint, by `apps.agents.verdicts`."""

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
    ) -> EvaluationReport:
        """The report on `candidate`. `dataset` is bound to the original's inputs; the candidate must have the same.

        It is measured on the examples of `part`. Where several `finalists` are judged they share the chance of error
        that the member's confidence leaves, so that every interval is wider.

        `keeps_parameters` says that the technique removes no weights, which makes its size checkable against its bits;
        `baseline` is the float model in the candidate's runtime, which its speed is checked against.
        Raises `OutputsDiffer`, `OutputsNotFinite`, `OutputUnfit`, `LabelsInvalid`, and what the runtime refuses.
        """
        check_against(original.summary, dataset.summary, dataset.spec)
        _check_interface(original, candidate)
        judging_examples = len(dataset.evaluation_indices)
        dataset, question = dataset.measured_on(part), Question(criteria, part, finalists)
        criteria = criteria.model_copy(update={"confidence": question.shared_confidence})
        found = self._outputs(original, candidate, dataset, question, context, seed)
        target, notes = _timing_target(original, candidate, criteria.target, dataset.layout)
        feeds = dataset.first(target.batch_size)
        latency = self._latency(original, candidate, feeds, target, criteria, context, seed)
        memory = _memory(original, candidate, feeds, target, context)
        measured = Measurements(
            primary=found.metrics[0],
            examples=found.examples,
            latency=latency,
            candidate_latency_ms=median_interval(np.array(latency.candidate_blocks_ms), criteria.confidence, seed),
            size_bytes=_pair(original.summary.size_bytes, candidate.summary.size_bytes),
            peak_memory_bytes=memory,
            confidence=criteria.confidence,
        )
        constraints = judge(criteria.constraints, measured)
        fidelity = found.fidelity.report(found.scorer.agreement(criteria.confidence))
        context.progress(1.0, "Evaluated", 0.0)
        return EvaluationReport(
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
                *_noise(latency),
                *suspicions(original.summary, candidate.summary, identical_outputs=found.fidelity.identical),
            ),
        )

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

    def _latency(
        self,
        original: Engine,
        candidate: Engine,
        feeds: Arrays,
        target: Target,
        criteria: Criteria,
        context: Context,
        seed: int,
    ) -> LatencyComparison:
        def watch(fraction: float, eta_s: float | None) -> None:
            context.progress(OUTPUTS_SHARE + LATENCY_SHARE * fraction, "Timing both models in turns", eta_s)

        context.progress(OUTPUTS_SHARE, "Warming up for timing", self._effort.budget_s)
        asked = criteria.constraints.min_speedup
        latency = compare_latency(
            *(_bound(engine.session(target), feeds) for engine in (original, candidate, original)),
            batch_size=target.batch_size,
            threads=target.threads,
            seed=seed,
            confidence=criteria.confidence,
            decide_at=() if asked is None else (asked,),
            effort=self._effort,
            watcher=watch,
        )
        context.metric("speedup", latency.speedup.value)
        return latency


def _check_interface(original: Engine, candidate: Engine) -> None:
    """The same inputs and outputs by name and type, so that one can stand where the other stood."""
    for part in ("inputs", "outputs"):
        before, after = (
            [(spec.name, spec.dtype) for spec in getattr(engine.summary, part)] for engine in (original, candidate)
        )
        if before != after:
            told = [", ".join(f"{name}: {dtype}" for name, dtype in side) for side in (after, before)]
            raise OutputsDiffer(reason=f"its {part} are {told[0]} instead of {told[1]}")


def _bound(run: Run, feeds: Arrays) -> Callable[[], object]:
    return lambda: run(feeds)


def _timing_target(
    original: Engine, candidate: Engine, wanted: Target, layout: Layout
) -> tuple[Target, tuple[str, ...]]:
    """The target at a batch size that both models take, and a note where that is not the one asked for."""
    fixed = fixed_batch(original.summary.inputs, layout) or fixed_batch(candidate.summary.inputs, layout)
    if fixed is None or fixed == wanted.batch_size:
        return wanted, ()
    note = f"Timed at batch size {fixed}, with which the model was exported, instead of {wanted.batch_size}."
    return wanted.model_copy(update={"batch_size": fixed}), (note,)


def _memory(original: Engine, candidate: Engine, feeds: Arrays, target: Target, context: Context) -> Pair:
    bytes_of = []
    for done, (name, engine) in enumerate((("original", original), ("candidate", candidate))):
        fraction = OUTPUTS_SHARE + LATENCY_SHARE + MEMORY_SHARE * done / 2
        context.progress(fraction, f"Measuring the {name}'s memory in a process of its own", 2.0 * (2 - done))
        bytes_of.append(engine.peak_memory_bytes(feeds, target))
    return _pair(*bytes_of)


def _pair(original: float, candidate: float) -> Pair:
    """Original over candidate; a candidate of nothing counts as 1, so that the ratio stays a number."""
    return Pair(original=original, candidate=candidate, ratio=original / max(1.0, candidate))


def _stand_in(spec: DatasetSpec, primary: MetricComparison) -> tuple[str, ...]:
    """A note where the metric that was chosen cannot be had from this output, such as top-5 of three classes."""
    if spec.metric is None or primary.metric == spec.metric:
        return ()
    return (f"{METRICS[spec.metric].label} cannot be measured on this output; {primary.label} stands in for it.",)


def _noise(latency: LatencyComparison) -> tuple[str, ...]:
    off = abs(latency.control.value - 1)
    if off < NOISY:
        return ()
    return (
        f"The machine was busy: the original timed against itself came out {off * 100:.0f} % apart. "
        "Ratios this close to 1 mean nothing here.",
    )
