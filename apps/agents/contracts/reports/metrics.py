"""How good the outputs of both models are on the same examples."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value

POINT_UNITS = frozenset({"%", "points"})
"""Units whose differences are called points."""
NARROW_POINTS = 1.0
NARROW_SHARE = 0.01
"""The same for metrics in other units, as a share of the original's value."""


class MetricComparison(Value):
    """One metric of both models on the same examples. Shares (top-1, F1, agreement) are in per cent, differences in
    points."""

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
    """`mcnemar`, `paired_bootstrap`, or `paired_t` of a metric that a look at a portion compared."""
    p_value: float
    lost: int | None = None
    """For a metric of right and wrong: how many examples only the original gets right."""
    won: int | None = None
    """For a metric of right and wrong: how many examples only the candidate gets right."""
    negligible: float | None = None
    """For errors in the labels' unit: a rise that does not matter, however small the original's error is."""

    def whole_of(self, share: float) -> float:
        """The value of which a loss is a share: the original's, or for an error near 0 the one of which `share` is
        negligible."""
        original = self.original.value
        return max(original, self.negligible / share) if self.negligible and share > 0 else original

    @property
    def change(self) -> Estimate:
        """Candidate minus original, as pages and sentences show it. A negative number is lower."""
        return self.drop.negated() if self.higher_is_better else self.drop

    @property
    def narrow(self) -> float:
        """How far from 0 the interval of an unchanged metric may reach, in the unit of the difference."""
        return NARROW_POINTS if self.unit in POINT_UNITS else NARROW_SHARE * abs(self.original.value)

    @property
    def maybe_chance(self) -> bool:
        """Whether the examples cannot tell the change from none: its interval includes 0."""
        return self.drop.includes(0.0)

    @property
    def unchanged(self) -> bool:
        """Whether none was measured, or chance explains the change and a large one is excluded."""
        return self.maybe_chance and (self.drop.value == 0 or self.drop.within(self.narrow))


class ClassComparison(Value):
    label: str
    examples: int
    original_recall: float
    candidate_recall: float
    p_corrected: float | None = None
    """The p-value of McNemar's test on its examples, corrected for the number of classes (Holm)."""
    drop: Estimate | None = None
    """Of the recall, in points: original minus candidate. `None` in reports from before limits on classes."""
    simultaneous: Estimate | None = None
    """The same drop with an interval that holds for all classes at once (Bonferroni)."""


class GroupComparison(Value):
    """One group of examples with both models."""

    group: str
    examples: int
    drop: Estimate
    """Like `MetricComparison.drop`, for the examples of this group."""
    simultaneous: Estimate
    """The same drop with an interval that holds for all groups at once (Bonferroni)."""
    p_value: float
    p_corrected: float
    """The p-value corrected for the number of groups (Holm)."""


class OutputComparison(Value):
    """One output other than the judged one, with both models on the same examples."""

    output: str
    exact: bool
    """Whether its values are integers, truth values or texts, which are equal or not."""
    examples: int
    deviation: Estimate
    """The root of the mean squared error, as a share of the standard deviation of the original's output; the root of
    the share of values that differ if `exact`. Its interval holds for all other outputs at once (Bonferroni)."""
    r2: float | None = None
    """How much of the original's output the candidate's explains, times 100; `None` if `exact`."""
    agreement: float | None = None
    """The share of examples with the same largest number in per cent, if the output may be class scores."""


class LabelledOutput(Value):
    """A further output that has labels of its own, with both models on the same examples."""

    output: str
    task: str
    examples: int
    metrics: tuple[MetricComparison, ...]
    """The primary one first."""

    @property
    def primary(self) -> MetricComparison:
        return self.metrics[0]


class FindingKind(StrEnum):
    GROUP = "group"
    """A group that loses."""
    CLASS = "class"
    """A class whose recall falls."""
    CHURN = "churn"
    """Many changed predictions behind a small drop."""


class Finding(Value):
    """An effect beyond chance that the verdicts do not cover."""

    kind: FindingKind
    subject: str
    """The group or the class."""
    sentence: str
    p_value: float
    """Corrected for the number of groups or classes that were examined."""


class Flips(Value):
    """How individual predictions changed, for classification with labels."""

    both_right: int
    both_wrong: int
    lost: int
    """The original was right, the candidate is wrong."""
    won: int
    changed: int
    """How many predictions differ, right or wrong."""


class Fidelity(Value):
    """How close the candidate's outputs are to the original's, regardless of the labels."""

    sqnr_db: float
    cosine: float
    max_abs_error: float
    mean_abs_error: float
    agreement: Estimate | None = None
    """The share of equal top-1 predictions in per cent, if the output is a class."""
