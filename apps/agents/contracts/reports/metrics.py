"""What the outputs of both models are worth on the same examples."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value


class MetricComparison(Value):
    """The same examples through both models. Shares (top-1, F1, agreement) are in per cent, differences in points."""

    metric: str
    label: str
    unit: str
    higher_is_better: bool
    original: Estimate
    candidate: Estimate
    drop: Estimate = Field(
        description="Original minus candidate when higher is better, else candidate minus original: positive is a loss."
    )
    test: str
    """`mcnemar` or `paired_bootstrap`."""
    p_value: float
    lost: int | None = None
    """Of a metric of right and wrong: examples that only the original gets right."""
    won: int | None = None
    """And those that only the candidate does."""

    @property
    def change(self) -> Estimate:
        """Candidate minus original, as pages and sentences show it: negative is lower."""
        return self.drop.negated() if self.higher_is_better else self.drop

    @property
    def unchanged(self) -> bool:
        """Whether chance explains the change: its interval includes 0."""
        return self.drop.includes(0.0)


class ClassComparison(Value):
    label: str
    examples: int
    original_recall: float
    candidate_recall: float
    p_corrected: float | None = None
    """McNemar's test on its examples, corrected for the number of classes (Holm)."""


class GroupComparison(Value):
    """One group of examples through both models."""

    group: str
    examples: int
    drop: Estimate
    """As `MetricComparison.drop`, of the examples of the group."""
    simultaneous: Estimate
    """The same with an interval that holds for all groups at once (Bonferroni)."""
    p_value: float
    p_corrected: float
    """For the number of groups (Holm)."""


class FindingKind(StrEnum):
    GROUP = "group"
    """A group that loses."""
    CLASS = "class"
    """A class whose recall falls."""
    CHURN = "churn"
    """Many changed predictions behind a small drop."""


class Finding(Value):
    """Something beyond chance that no verdict says."""

    kind: FindingKind
    subject: str
    """The group or the class."""
    sentence: str
    p_value: float
    """Corrected for how many of its kind were looked at."""


class Flips(Value):
    """How single predictions changed, on labelled classification."""

    both_right: int
    both_wrong: int
    lost: int
    """The original was right, the candidate is wrong."""
    won: int
    changed: int
    """Predictions that differ, right or wrong."""


class Fidelity(Value):
    """How close the candidate's outputs are to the original's, whatever the labels say."""

    sqnr_db: float
    cosine: float
    max_abs_error: float
    mean_abs_error: float
    agreement: Estimate | None = None
    """Share of equal top-1 predictions in per cent, where the output is a class."""
