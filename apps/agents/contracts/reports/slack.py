"""How far a candidate is from the limits of a session, and which candidate comes nearest to holding them all."""

from __future__ import annotations

from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.values import Value

NOTHING_HOLDS = "No technique that may be used can hold these limits."


class Slack(Value):
    """One limit and the value next to it. `slack` is what is left up to the limit: negative if the value misses it."""

    constraint: str
    """The field of `Constraints`."""
    subject: str = ""
    """The metric or the output that it is about, if the field does not tell."""
    limit: float
    measured: float
    """A drop is positive if it is a loss."""
    unit: str
    slack: float
    """In the constraint's unit."""
    shortfall: float
    """How far the limit is missed, as a share of the limit; 0 if it is not."""
    status: Holds
    """Whether the whole interval of the measurement lies within the limit."""


class Nearest(Value):
    """The measured candidate that comes nearest to holding every limit.

    `distance` is the square root of the sum of the squared shortfalls, so it is 0 if no limit is missed.
    """

    candidate: str
    title: str = ""
    part: str
    """The part of the data set on which it was measured: `choosing` or `evaluation`."""
    distance: float
    slacks: tuple[Slack, ...]
    sentence: str


class Foreseen(Value):
    """The candidate whose prediction comes nearest to the limits, if no candidate can hold all limits."""

    title: str
    distance: float
    missed: tuple[str, ...]
    """The limits that its prediction misses: fields of `Constraints`."""
    unreachable: tuple[str, ...]
    """Those of them that no prediction reaches, whatever the other limits are."""
    reaches: dict[str, float] = {}
    """The value of each missed limit that the prediction would hold, in the limit's unit."""
    sentence: str

    @property
    def nearest_in_words(self) -> str:
        """The sentence without its beginning, that nothing holds the limits."""
        return self.sentence.removeprefix(NOTHING_HOLDS).lstrip()
