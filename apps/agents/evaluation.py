"""The EvaluationAgent: original and candidate side by side on the same examples, judged against the criteria."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from apps.agents.context import Context
from apps.agents.criteria import Criteria, Target
from apps.agents.dataset_fit import check_against
from apps.agents.dataset_spec import METRICS, DatasetSpec, Metric, metric_by_group
from apps.agents.datasets import Arrays, Dataset
from apps.agents.errors import OutputsDiffer
from apps.agents.fidelity import FidelityMeter, visible
from apps.agents.findings import findings
from apps.agents.groups import compare_groups
from apps.agents.layout import Layout
from apps.agents.measuring import Effort, compare_latency
from apps.agents.metrics import Scorer, order_metrics, scorer_for
from apps.agents.metrics.judged import judged
from apps.agents.passing import Passing
from apps.agents.plausibility import implausible_gains, suspicions, unrelated_outputs
from apps.agents.reports import (
    Estimate,
    EvaluationReport,
    GroupComparison,
    LatencyComparison,
    Machine,
    MetricComparison,
    Pair,
    RuntimeBaseline,
)
from apps.agents.runners import Engine, Run, fixed_batch
from apps.agents.statistics import median_interval
from apps.agents.text import ATTENTION_MASK
from apps.agents.verdicts import Measurements, judge, overall

BATCH = 64
"""Examples a batch, where the model's batch axis is dynamic."""
OUTPUTS_SHARE, LATENCY_SHARE, MEMORY_SHARE = 0.55, 0.33, 0.12
"""Of the progress bar."""
TELL_EVERY_S = 0.2
"""Batches of one example would fill the log."""
NOISY = 0.05


@dataclass(frozen=True)
class _Outputs:
    """What running all examples gave."""

    metrics: tuple[MetricComparison, ...]
    scorer: Scorer
    fidelity: FidelityMeter
    examples: int
    notes: tuple[str, ...]
    groups: tuple[GroupComparison, ...]
    group_metric: Metric | None


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
    ) -> EvaluationReport:
        """The report on `candidate`. `dataset` is bound to the original's inputs; the candidate must have the same.

        `keeps_parameters` says that the technique removes no weights, which makes its size checkable against its bits;
        `baseline` is the float model in the candidate's runtime, which its speed is checked against.
        Raises `OutputsDiffer`, `OutputsNotFinite`, `OutputUnfit`, `LabelsInvalid`, and what the runtime refuses.
        """
        check_against(original.summary, dataset.summary, dataset.spec)
        _check_interface(original, candidate)
        found = self._outputs(original, candidate, dataset, criteria, context, seed)
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
            groups=found.groups,
            group_metric=found.group_metric,
        )
        constraints = judge(criteria.constraints, measured)
        fidelity = found.fidelity.report(found.scorer.agreement(criteria.confidence))
        context.progress(1.0, "Evaluated", 0.0)
        report = EvaluationReport(
            task=dataset.spec.task,
            examples=found.examples,
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
                *_noise(latency),
                *suspicions(original.summary, candidate.summary, identical_outputs=found.fidelity.identical),
            ),
        )
        return report.model_copy(update={"findings": findings(report)})

    def _outputs(
        self,
        original: Engine,
        candidate: Engine,
        dataset: Dataset,
        criteria: Criteria,
        context: Context,
        seed: int,
    ) -> _Outputs:
        """Every evaluation example through both models, in batches that both get at the same moment."""
        spec, outputs = dataset.spec, original.summary.outputs
        passing = Passing.of((original, candidate), dataset, criteria.target, self._batch)
        meter = FidelityMeter([output.name for output in outputs])
        scorer: Scorer | None = None
        total, rows = len(dataset.evaluation_indices), dataset.evaluation_rows
        done, start, told_at = 0, self._clock(), 0.0
        for feeds, labels in dataset.evaluation(passing.batch):
            both = passing.outputs(feeds)
            meter.add(*(visible(outputs_of, outputs, feeds) for outputs_of in both))
            mask = feeds.get(ATTENTION_MASK)
            first, second = (judged(passing.judged(outputs_of), spec, mask) for outputs_of in both)
            tokens = mask is not None and first.ndim == 3 and first.shape[:2] == mask.shape
            scorer = scorer or scorer_for(spec, first.shape, dataset.summary.classes, tokens=tokens)
            scorer.add(first, second, labels)
            done += len(first)
            spent_s = self._clock() - start
            if spent_s < told_at + TELL_EVERY_S and done < rows:
                continue
            told_at = spent_s
            context.progress(
                OUTPUTS_SHARE * done / rows,
                f"Compared {total * done // rows:,} of {total:,} examples",
                spent_s * (rows - done) / done + 3 * self._effort.warmup_s + self._effort.budget_s,
            )
        assert scorer is not None  # The data set has evaluation examples: `check_against` counted them.
        notes = passing.compare_whole(meter, dataset)
        metrics = order_metrics(scorer.comparisons(criteria.confidence, seed), spec.primary_metric)
        if meter.identical:
            metrics = tuple(_unchanged(metric) for metric in metrics)
        context.metric("metric_drop", metrics[0].drop.value)
        by_group = metric_by_group(spec.task, Metric(metrics[0].metric))
        names = dataset.groups_of(dataset.evaluation_indices)
        groups = compare_groups(names, scorer, by_group, criteria.confidence, seed, identical=meter.identical)
        return _Outputs(metrics, scorer, meter, total, notes, groups, by_group if groups else None)

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


def _unchanged(metric: MetricComparison) -> MetricComparison:
    """Outputs that are equal to the last bit on every example leave no doubt about the drop: it is 0 exactly."""
    return metric.model_copy(update={"drop": Estimate(value=0.0, low=0.0, high=0.0), "p_value": 1.0})


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
