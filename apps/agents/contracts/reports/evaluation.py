"""Original and candidate side by side."""

from __future__ import annotations

from enum import StrEnum

from apps.agents.contracts.criteria import CountedSize
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import LatencyComparison, Pair
from apps.agents.contracts.reports.metrics import (
    ClassComparison,
    Fidelity,
    Finding,
    Flips,
    GroupComparison,
    LabelledOutput,
    MetricComparison,
    OutputComparison,
)
from apps.agents.contracts.reports.runtimes import Gains
from apps.agents.contracts.reports.selection import Contest, Level, PairedOutcomes
from apps.agents.contracts.reports.slowdown import Slowdown
from apps.agents.contracts.values import Value


class Part(StrEnum):
    """The part of the data set on which a candidate is measured.

    The stored values are older than the terms: `choosing` is the validation part, `evaluation` the test part.
    """

    CHOOSING = "choosing"
    """Validation examples. They rank the candidates, so the best of them has also been lucky here."""
    EVALUATION = "evaluation"
    """Test examples. They judge the few that rank highest. Nothing was tuned or chosen on them."""


class EvaluationReport(Value):
    """Original and candidate side by side.

    `implausible` lists gains larger than the bits allow, one sentence each. Such a candidate is never accepted.
    """

    task: Task
    part: Part = Part.EVALUATION
    """The part of the data set on which it was measured."""
    examples: int
    """How many examples were used."""
    examples_of_part: int | None = None
    """How many examples the part has. Fewer are used if the evidence is clear before the end."""
    looks: tuple[int, ...] = ()
    """How many examples had been used each time the evidence was looked at; empty if all were used at once."""
    judging_examples: int | None = None
    """How many examples the test part has."""
    levels: tuple[Level, ...] = ()
    """For a finalist: the limits on the metric at each share of the chance of error, the strictest first."""
    outcomes: PairedOutcomes | None = None
    """`None` if the metric is not a mean over examples."""
    contest: Contest | None = None
    """For a finalist: the loss corrected for the choice."""
    outputs_s: float | None = None
    """How long it took to run both models on the examples."""
    metrics: tuple[MetricComparison, ...]
    """The first is the primary one, to which the constraints apply."""
    fidelity: Fidelity
    other_outputs: tuple[OutputComparison, ...] = ()
    labelled_outputs: tuple[LabelledOutput, ...] = ()
    """The outputs other than the judged one, the largest deviation first; empty in older reports. Outputs without an
    entry per example are left out."""
    flips: Flips | None = None
    classes: tuple[ClassComparison, ...] = ()
    groups: tuple[GroupComparison, ...] = ()
    """Only if the data set names groups. Those that lose most come first."""
    group_metric: str | None = None
    """The metric that `groups` compares: the primary one, or its substitute if that cannot be computed by group."""
    findings: tuple[Finding, ...] = ()
    """Losses that the verdicts do not cover."""
    latency: LatencyComparison
    size_bytes: Pair
    compressed_bytes: Pair | None = None
    """Both sizes in DEFLATE or Zstandard, whichever is smaller (in older reports, in DEFLATE). `None` in still older
    ones, and for large files whose compressed size does not count."""
    litert_bytes: Pair | None = None
    """Both sizes as TensorFlow Lite. `None` unless that size counts."""
    counted_size: CountedSize = CountedSize.FILE
    """Which of these sizes the verdicts are about."""
    peak_memory_bytes: Pair
    constraints: tuple[ConstraintVerdict, ...]
    implausible: tuple[str, ...] = ()
    gains: Gains | None = None
    """Only if the candidate has another runtime than the original."""
    slowdown: Slowdown | None = None
    """Only if the candidate is hardly faster, or gains much less than predicted."""
    verdict: Holds
    confidence: float
    machine: Machine
    notes: tuple[str, ...] = ()

    def bytes_of(self, counted: CountedSize) -> Pair | None:
        """One of the sizes; `None` if it was not measured."""
        return {
            CountedSize.FILE: self.size_bytes,
            CountedSize.COMPRESSED: self.compressed_bytes,
            CountedSize.TFLITE: self.litert_bytes,
        }[counted]

    @property
    def counted_bytes(self) -> Pair:
        """The size that the criteria count."""
        pair = self.bytes_of(self.counted_size)
        assert pair is not None, f"the size that counts is known: {self.counted_size}"
        return pair

    @property
    def primary(self) -> MetricComparison:
        return self.metrics[0]
