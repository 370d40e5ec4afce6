"""What a choice among several candidates costs in certainty, and the luck of its winner."""

from __future__ import annotations

from apps.agents.contracts.reports.constraints import ConstraintVerdict
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value


class PairedOutcomes(Value):
    """What each example adds to the drop of the primary metric, kept small: the mean over all examples is the drop.

    Where each is right or wrong, the places of those that only one model gets right; else `differences`, float16 in
    base64, times `scale`.
    """

    examples: int
    lost: tuple[int, ...] = ()
    won: tuple[int, ...] = ()
    differences: str | None = None
    scale: float = 100.0
    """What one lost example counts, in the unit of the drop; else what the largest difference is."""
    order: str = ""
    """Outcomes of two candidates belong to the same examples where this is equal."""


class Level(Value):
    """The limits on the metric held against the interval at one confidence.

    Finalists share the chance of error; whoever is left when some are proven has more of it (Holm 1979).
    """

    sharing: int
    """How many finalists share it."""
    confidence: float
    drop: Estimate
    constraints: tuple[ConstraintVerdict, ...]
    """Those on the metric."""


LUCK_NOTICED = 0.1
"""As a share of the drop."""


class Corrected(Value):
    """The drop of whoever comes out best, and what of it is left once the luck of having come out best is taken off."""

    candidate: str
    among: int
    plain: float
    corrected: float
    unit: str

    @property
    def lucky(self) -> bool:
        """Whether having come out best flattered the numbers by more than resampling's own noise."""
        return self.corrected - self.plain > LUCK_NOTICED * max(abs(self.plain), abs(self.corrected))


class Contest(Value):
    """What a choice among several candidates made of the numbers of the one that came out best."""

    choosing: Corrected | None = None
    """What ranking alone would have claimed."""
    evaluation: Corrected | None = None
    """Where several finalists were judged."""
    note: str = ""
    """Why there is no correction, where there is none."""
