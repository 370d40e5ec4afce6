"""One evaluation after the outputs have been compared: speed, memory, verdicts, and the report."""

from __future__ import annotations

from dataclasses import dataclass

from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import CountedSize, Criteria, Target
from apps.agents.contracts.dataset_spec import METRICS, DatasetKind, DatasetSpec
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import OriginalMemory, Pair
from apps.agents.contracts.reports.metrics import Fidelity, MetricComparison
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.datasets.loading import Arrays, Dataset
from apps.agents.evaluation.findings import findings
from apps.agents.evaluation.measured import Measurements
from apps.agents.evaluation.pace import Pace
from apps.agents.evaluation.plausibility import implausible_gains, suspicions, too_fast, unrelated_outputs
from apps.agents.evaluation.quality import Outputs, Question
from apps.agents.evaluation.speed import Speed, Timed, timing_target
from apps.agents.evaluation.verdicts import judge, overall
from apps.agents.measuring.engine import Engine
from apps.agents.measuring.timer import Timer
from apps.agents.measuring.timing_intervals import unknown

MEMORY_S = 2.0
"""What it takes to measure the peak memory of one model, in a process of its own."""


@dataclass(frozen=True)
class Evaluation:
    """Both models with everything that their report depends on; see `EvaluationAgent.evaluate`."""

    original: Engine
    candidate: Engine
    dataset: Dataset
    """With the measured part in the place of its test part."""
    judging_examples: int
    question: Question
    context: Context
    pace: Pace
    machine: Machine
    seed: int
    keeps_parameters: bool
    baseline: RuntimeBaseline | None
    original_memory: OriginalMemory | None
    compressed_shares: tuple[float, float] | None = None
    litert_bytes: tuple[int, int] | None = None

    @property
    def criteria(self) -> Criteria:
        """The member's criteria at the confidence of this evaluation's intervals."""
        return self.question.criteria.model_copy(update={"confidence": self.question.shared_confidence})

    def report(self, found: Outputs, timer: Timer, again: Timer) -> EvaluationReport:
        """Time both models, measure their memory, and judge them together with the compared outputs `found`."""
        target, notes = timing_target(self.original, self.candidate, self.criteria.target, self.dataset.layout)
        feeds = self.dataset.first(target.batch_size)
        fidelity = found.fidelity.report(found.scorer.agreement(self.criteria.confidence))
        speed = self._speed(feeds, target, fidelity, timer, again)
        measured = self._measured(found, speed, self._memory(feeds, target))
        report = self._report(found, fidelity, measured, (*notes, *self._notes(found, speed)))
        return report.model_copy(update={"findings": findings(report)})

    # --- measuring ----------------------------------------------------------------------------------------------------

    def _speed(self, feeds: Arrays, target: Target, fidelity: Fidelity, timer: Timer, again: Timer) -> Timed:
        before, after = self.original.summary, self.candidate.summary
        return Speed(timer, again, self.context, self.pace, self._memory_s(target)).measure(
            feeds,
            target,
            self.criteria,
            self.seed,
            lambda speedup: too_fast(before, after, speedup, self.baseline, fidelity.sqnr_db),
        )

    def _memory(self, feeds: Arrays, target: Target) -> Pair:
        """Peak memory of both models. If the original's is known from the analysis, only the candidate is measured."""
        known = self._known_memory(target)
        bytes_of = [] if known is None else [known.peak_bytes]
        for name, engine in (("original", self.original), ("candidate", self.candidate))[len(bytes_of) :]:
            left_s = MEMORY_S * (2 - len(bytes_of))
            self.pace.reached(f"Measuring the {name}'s memory in a separate process", left_s)
            bytes_of.append(engine.peak_memory_bytes(feeds, target))
        return pair_of(*bytes_of)

    def _memory_s(self, target: Target) -> float:
        return MEMORY_S * (2 if self._known_memory(target) is None else 1)

    def rest_s(self, timer: Timer) -> float:
        """Seconds for everything after the outputs, about."""
        return timer.expected_s + self._memory_s(self.criteria.target)

    def _known_memory(self, target: Target) -> OriginalMemory | None:
        """The analysis's measurement, if it used the same batch size, the same kind of examples and this machine."""
        memory = self.original_memory
        same_lengths = self.question.part is Part.EVALUATION or self.dataset.spec.kind is not DatasetKind.TEXT
        if memory is None or not same_lengths:
            return None
        same = (memory.batch_size, memory.hostname) == (target.batch_size, self.machine.hostname)
        return memory if same else None

    def _measured(self, found: Outputs, speed: Timed, memory: Pair) -> Measurements:
        latency = speed.latency
        return Measurements(
            primary=found.metrics[0],
            examples=found.examples,
            latency=latency,
            candidate_latency_ms=latency.candidate_p50_ms or unknown(latency.candidate.p50_ms),
            size_bytes=self._counted_bytes,
            counted_size=self.criteria.counted_size,
            peak_memory_bytes=memory,
            confidence=self.criteria.confidence,
            groups=found.groups,
            group_metric=found.group_metric,
            metrics=found.metrics,
            labelled=found.labelled_outputs,
            other_outputs=found.other_outputs,
            classes=found.classes,
        )

    @property
    def _file_bytes(self) -> Pair:
        return pair_of(self.original.summary.size_bytes, self.candidate.summary.size_bytes)

    @property
    def _counted_bytes(self) -> Pair:
        pair = {
            CountedSize.FILE: self._file_bytes,
            CountedSize.COMPRESSED: self._compressed_bytes,
            CountedSize.TFLITE: self._litert_bytes,
        }[self.criteria.counted_size]
        if pair is None:
            raise ValueError(f"the criteria count a size that was not measured: {self.criteria.counted_size}")
        return pair

    @property
    def _litert_bytes(self) -> Pair | None:
        return None if self.litert_bytes is None else pair_of(*self.litert_bytes)

    @property
    def _compressed_bytes(self) -> Pair | None:
        """Of what counts of each file: a training file's optimizer state or a tokenizer does not."""
        if self.compressed_shares is None:
            return None
        before, after = self.compressed_shares
        return pair_of(round(before * self._file_bytes.original), round(after * self._file_bytes.candidate))

    # --- reporting ----------------------------------------------------------------------------------------------------

    def _report(
        self, found: Outputs, fidelity: Fidelity, measured: Measurements, notes: tuple[str, ...]
    ) -> EvaluationReport:
        constraints = judge(self.criteria.constraints, measured)
        self.pace.reached("Evaluated", 0.0)
        return EvaluationReport(
            task=self.dataset.spec.task,
            part=self.question.part,
            examples=found.examples,
            examples_of_part=found.examples_of_part,
            looks=found.looks,
            judging_examples=self.judging_examples,
            levels=found.levels,
            outcomes=found.outcomes,
            outputs_s=found.seconds,
            metrics=found.metrics,
            fidelity=fidelity,
            other_outputs=found.other_outputs,
            labelled_outputs=found.labelled_outputs,
            flips=found.scorer.flips(),
            classes=found.classes,
            groups=found.groups,
            group_metric=found.group_metric,
            latency=measured.latency,
            size_bytes=self._file_bytes,
            compressed_bytes=self._compressed_bytes,
            litert_bytes=self._litert_bytes,
            counted_size=self.criteria.counted_size,
            peak_memory_bytes=measured.peak_memory_bytes,
            constraints=constraints,
            implausible=self._implausible(found, fidelity, measured),
            verdict=overall(constraints),
            confidence=self.criteria.confidence,
            machine=self.machine,
            notes=notes,
        )

    def _implausible(self, found: Outputs, fidelity: Fidelity, measured: Measurements) -> tuple[str, ...]:
        gains = implausible_gains(
            self.original.summary,
            self.candidate.summary,
            measured.latency.speedup,
            measured.primary,
            keeps_parameters=self.keeps_parameters,
            baseline=self.baseline,
            sqnr_db=fidelity.sqnr_db,
        )
        return (*gains, *unrelated_outputs(found.metrics, self.dataset.spec))

    def _notes(self, found: Outputs, speed: Timed) -> tuple[str, ...]:
        identical = found.fidelity.identical
        return (
            *found.notes,
            *self.dataset.notes,
            *_other_metric(self.dataset.spec, found.metrics[0]),
            *speed.notes,
            *suspicions(self.original.summary, self.candidate.summary, identical_outputs=identical),
        )


def pair_of(original: float, candidate: float) -> Pair:
    """Original over candidate. A candidate of 0 counts as 1, so that the ratio stays finite."""
    return Pair(original=original, candidate=candidate, ratio=original / max(1.0, candidate))


def _other_metric(spec: DatasetSpec, primary: MetricComparison) -> tuple[str, ...]:
    """A note if the chosen metric cannot be computed from this output, such as top-5 with three classes."""
    if spec.metric is None or primary.metric == spec.metric:
        return ()
    return (f"{METRICS[spec.metric].label} cannot be measured on this output; {primary.label} is used instead.",)
