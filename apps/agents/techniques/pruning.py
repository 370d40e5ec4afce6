"""The base class of all pruning techniques, which also checks the pattern of what was removed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Assignment
from apps.agents.techniques.reduction import ReductionAgent

MOST_LAYERS = 200


def channels_by_layer(layers: Iterable[tuple[str, int, int]]) -> list[list[str | int]]:
    """Name, channels before and channels after, for each layer in the graph's order, as plain JSON for the evidence.

    If there are more than `MOST_LAYERS` layers, it has only those that lose most.
    """
    every = list(layers)
    chosen = {id(one) for one in sorted(every, key=lambda one: one[2] - one[1])[:MOST_LAYERS]}
    return [list(one) for one in every if id(one) in chosen]


class PruningAgent(ReductionAgent):
    """Techniques that remove weights, in a pattern that the subclass decides."""

    def pattern_fault(self, assignment: Assignment, artifact: Path) -> str | None:
        """How the artifact deviates from the technique's pattern, in words; `None` if it does not, or without a
        pattern."""
        return None

    def validate(self, assignment: Assignment, artifact: Path) -> tuple[tuple[str, ...], ModelSummary]:
        """Checks the pattern, if there is one, and then the same as for any technique."""
        if fault := self.pattern_fault(assignment, artifact):
            raise TechniqueInvalidOutput(technique=assignment.spec.label, reason=fault)
        return super().validate(assignment, artifact)
