"""Original and candidate side by side."""

from __future__ import annotations

from enum import StrEnum

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
    MetricComparison,
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

    `implausible` lists gains beyond what the bits allow, each as a sentence: such a candidate is never accepted.
    """

    task: Task
    part: Part = Part.EVALUATION
    """What it was measured on."""
    examples: int
    """That were used."""
    examples_of_part: int | None = None
    """How many there are; more than were used where the evidence was clear before."""
    judging_examples: int | None = None
    """How many the test part has."""
    levels: tuple[Level, ...] = ()
    """Of a finalist: the limits on the metric at each share of the chance of error, the strictest first."""
    outcomes: PairedOutcomes | None = None
    """`None` where the metric is not a mean over examples."""
    contest: Contest | None = None
    """Of a finalist: what was found once it was measured."""
    outputs_s: float | None = None
    """How long the examples took to pass through both models."""
    metrics: tuple[MetricComparison, ...]
    """The first is the primary one, which the constraints speak of."""
    fidelity: Fidelity
    flips: Flips | None = None
    classes: tuple[ClassComparison, ...] = ()
    groups: tuple[GroupComparison, ...] = ()
    """Where the data set names groups; those that lose most first."""
    group_metric: str | None = None
    """What `groups` compares: the primary metric, or what stands in for one that has no groups."""
    findings: tuple[Finding, ...] = ()
    """What the verdicts do not say."""
    latency: LatencyComparison
    size_bytes: Pair
    peak_memory_bytes: Pair
    constraints: tuple[ConstraintVerdict, ...]
    implausible: tuple[str, ...] = ()
    gains: Gains | None = None
    """Told apart where the candidate runs elsewhere than the original."""
    slowdown: Slowdown | None = None
    """Looked for where the candidate is hardly faster, or much less than predicted."""
    verdict: Holds
    confidence: float
    machine: Machine
    notes: tuple[str, ...] = ()

    @property
    def primary(self) -> MetricComparison:
        return self.metrics[0]
