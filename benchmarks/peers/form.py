"""How much is done: enough to see that all of it works, or enough to compare."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    takes: str
    minutes: float
    """The budget of a session of Lathe."""
    making_s: float
    """How long a peer may take on one model."""
    timing_s: float
    """How long all files of one model are timed."""

    @property
    def described(self) -> str:
        """What everyone had, for the page."""
        return (
            f"sessions with a budget of {self.minutes:g} minutes, peers with {self.making_s / 60:g} minutes a model, "
            f"{self.timing_s:g} s of timing"
        )


FORMS = {
    "short": Form(takes="five minutes a model", minutes=3.0, making_s=180.0, timing_s=25.0),
    "full": Form(takes="twenty minutes a model", minutes=12.0, making_s=900.0, timing_s=90.0),
}
