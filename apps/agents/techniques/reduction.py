"""The base class of techniques that leave a smaller network: predicts the size, and checks what was removed.

`ReductionAgent` works for any framework. A subclass predicts what it will remove (`forecast`), removes it (`apply`),
and counts what the artifact computes and stores (`reduction`). Its families are in `apps.agents.techniques.pruning` and
`apps.agents.techniques.decomposition.agent`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import (
    TechniqueNoEffect,
    TechniqueQuantizedModel,
    TechniqueWithoutCalibration,
)
from apps.agents.contracts.phrasing import number
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.evaluation.plausibility import weight_bytes
from apps.agents.techniques.base import Assignment, BaseOptimizationAgent, Estimated
from apps.agents.techniques.compatibility import WORTH_NAMING, weight_shares

FEWER_BY = 0.999
"""A model that still has more than this share of its multiply-accumulates and parameters was not reduced."""


@dataclass(frozen=True)
class Workload:
    """What a model computes for one example, and what it stores."""

    macs: int
    """Multiply-accumulates for one example. Those with a stored zero count, because they are still computed."""
    parameters: int
    """Weights that are not zero."""
    channels: int | None = None
    """Output channels of the layers that may be pruned; `None` if it is not whole channels that go."""


@dataclass(frozen=True)
class Reduction:
    """The model before and after, predicted or counted."""

    before: Workload
    after: Workload

    @property
    def macs_removed(self) -> float:
        """The share of the multiply-accumulates that is removed, from 0 to 1."""
        return 1 - self.after.macs / self.before.macs if self.before.macs else 0.0

    @property
    def parameters_removed(self) -> float:
        """The share of the parameters that is removed, from 0 to 1."""
        return 1 - self.after.parameters / self.before.parameters if self.before.parameters else 0.0

    @property
    def shows(self) -> bool:
        """Whether more than a negligible share was removed."""
        pairs = ((self.before.macs, self.after.macs), (self.before.parameters, self.after.parameters))
        return any(after < FEWER_BY * before for before, after in pairs)

    def sentence(self) -> str:
        """Multiply-accumulates, parameters and channels before and after."""
        before, after = self.before, self.after
        parts = [
            f"{number(after.macs / 1e6)} of {number(before.macs / 1e6)} million multiply-accumulates are left "
            f"({self.macs_removed:.0%} removed)",
            f"{after.parameters:,} of {before.parameters:,} parameters ({self.parameters_removed:.0%} removed)",
        ]
        if before.channels is not None and after.channels is not None:
            parts.append(f"{after.channels:,} of {before.channels:,} channels")
        return f"{', '.join(parts)}."

    def evidence(self) -> dict[str, int | float | None]:
        """The numbers as plain JSON."""
        return {
            "macs_before": self.before.macs,
            "macs_after": self.after.macs,
            "macs_removed": round(self.macs_removed, 4),
            "parameters_before": self.before.parameters,
            "parameters_after": self.after.parameters,
            "channels_before": self.before.channels,
            "channels_after": self.after.channels,
        }


class ReductionAgent(BaseOptimizationAgent):
    """Techniques that leave out weights, or put fewer in their place."""

    @abstractmethod
    def forecast(self, assignment: Assignment) -> Reduction:
        """Predicts what will be removed. Raises a `UserError` if nothing can be."""

    @abstractmethod
    def reduction(self, assignment: Assignment) -> Reduction:
        """Counts what was removed, on the artifact that `apply` has made."""

    def stores_zeros(self, assignment: Assignment) -> bool:
        """Whether removed weights stay in the file as zeros, so that its size does not change."""
        return False

    def check(self, assignment: Assignment, context: Context) -> None:
        """Raises `TechniqueQuantizedModel`, and `TechniqueWithoutCalibration` if examples are needed but missing."""
        super().check(assignment, context)
        if how := quantized(assignment.engine().summary):
            raise TechniqueQuantizedModel(technique=assignment.spec.label, how=how)
        if assignment.spec.needs_calibration and not len(assignment.dataset.calibration_indices):
            raise TechniqueWithoutCalibration(technique=assignment.spec.label)

    def estimate(self, assignment: Assignment) -> Estimated:
        """The predicted size without the parameters that the forecast counts."""
        expected = self.forecast(assignment)
        basis = f"{expected.macs_removed:.0%} of the multiply-accumulates and {expected.parameters_removed:.0%} of "
        basis += "the parameters can be removed"
        if self.stores_zeros(assignment):
            return Estimated(1.0, f"{basis}, and their places are kept as zeros")
        summary = assignment.engine().summary
        bytes_each = weight_bytes(summary) / max(1, summary.parameters)
        gone = bytes_each * (expected.before.parameters - expected.after.parameters)
        return Estimated(summary.size_bytes / max(1.0, summary.size_bytes - gone), basis)

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """The reduction in a sentence. Raises `TechniqueNoEffect` if it is negligible."""
        found = self.reduction(assignment)
        if not found.shows:
            raise TechniqueNoEffect(technique=assignment.spec.label, reason=f"of the model {found.sentence()[:-1]}")
        return found.sentence()


def quantized(summary: ModelSummary) -> str | None:
    """How the model was quantized, in words; `None` if its weights are floats."""
    narrow = weight_shares(summary)[2]
    if summary.quantization is None and narrow < WORTH_NAMING:
        return None
    return summary.quantization or f"{narrow:.0%} of its weights take 8 bits or fewer"
