"""How much certainty a choice among several candidates costs, and how lucky its winner was."""

from __future__ import annotations

from apps.agents.contracts.reports.constraints import ConstraintVerdict
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.values import Value


class PairedOutcomes(Value):
    """What each example adds to the drop of the primary metric, in a small form. The mean over all examples is the
    drop.

    If each example is right or wrong, `lost` and `won` are the positions of those that only the original or only the
    candidate gets right. Otherwise `differences` is float16 in base64, to be multiplied by `scale`.
    """

    examples: int
    lost: tuple[int, ...] = ()
    won: tuple[int, ...] = ()
    differences: str | None = None
    scale: float = 100.0
    """The value of one lost example in the unit of the drop, or the largest difference."""
    order: str = ""
    """Outcomes of two candidates belong to the same examples if this is equal."""


class Level(Value):
    """The limits on the metric, compared with the interval at one confidence.

    Finalists share the chance of error. Once some are proven, each of the others gets more of it (Holm 1979).
    """

    sharing: int
    """How many finalists share the chance of error."""
    confidence: float
    drop: Estimate
    constraints: tuple[ConstraintVerdict, ...]
    """The verdicts on the limits of the metric."""


LUCK_NOTICED = 0.1
"""The smallest correction that counts as luck, as a share of the drop."""


class Corrected(Value):
    """The drop of the best candidate as measured, and corrected for the luck of having come out best."""

    candidate: str
    among: int
    plain: float
    corrected: float
    unit: str

    @property
    def lucky(self) -> bool:
        """Whether the luck of having come out best is larger than the noise of resampling."""
        return self.corrected - self.plain > LUCK_NOTICED * max(abs(self.plain), abs(self.corrected))


class Contest(Value):
    """The drop of the winner of a choice among several candidates, corrected for its luck."""

    choosing: Corrected | None = None
    """The winner of the ranking, on the validation examples."""
    evaluation: Corrected | None = None
    """The winner among several judged finalists, on the test examples."""
    note: str = ""
    """Why there is not a correction, if there is none."""
