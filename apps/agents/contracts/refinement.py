"""The values of a refine step: which parameters of a promising chain vary, what was measured, and what to try next."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from apps.agents.contracts.state import CandidateRecord
from apps.agents.contracts.values import Value

SAMPLING_LIBRARY = "optuna"
"""The distribution that a worker needs for refine steps. Without it, sessions do not refine."""
Setting = dict[str, Any]
"""A value for each dimension, by its name."""


class Dimension(Value):
    """One parameter of one link of a chain, with the values that its technique declares for a search.

    Either `choices` or `low` and `high` are given, both of which are allowed values.
    """

    link: int
    """The link's place in the chain, from 0."""
    parameter: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: int | None = None
    """The distance of whole numbers; `None` for other numbers."""

    @property
    def name(self) -> str:
        return f"{self.link}.{self.parameter}"

    @property
    def numeric(self) -> bool:
        return not self.choices

    def holds(self, value: Any) -> bool:
        """Whether `value` is one that the search may propose."""
        if not self.numeric:
            return value in self.choices
        inside = isinstance(value, int | float) and self.low <= value <= self.high
        return inside and (self.step is None or (value - self.low) % self.step == 0)


class Observed(Value):
    """A measured candidate of a chain."""

    candidate: str
    setting: Setting
    objectives: dict[str, float]
    """What the session weighs, by name: the logarithms of the ratios original over candidate, and the metric's drop."""
    beyond: dict[str, float] = Field(default_factory=dict)
    """By constraint: how far the measured value is beyond the limit, in the constraint's unit; 0 or less holds it."""


class RefineParameters(Value):
    """The parameters of a refine step. They contain everything from which the proposals follow."""

    around: CandidateRecord
    """The most promising candidate of the chain."""
    dimensions: tuple[Dimension, ...]
    observed: tuple[Observed, ...]
    known: tuple[Setting, ...] = ()
    """The settings of all candidates of the chain, which are not proposed again."""
    count: int = Field(ge=1)
    """How many proposals are wanted at most."""
    best: float
    """The best score of an accepted candidate of the chain so far; the original's is 1."""


class Refinement(Value):
    """The result of a refine step."""

    sampler: str
    """The method that made the proposals, in words."""
    proposals: tuple[Setting, ...] = ()
    """In the order in which they are to be tried. Fewer than wanted if the values that may vary are used up."""
