"""A member's request to deliver another candidate than the one that stands."""

from __future__ import annotations

from apps.agents.contracts.values import Value

TAKING = "taking"
"""The name among the parameters of a step under which its `Taking` is stored."""


class Taking(Value):
    """Who takes which candidate. It is stored in the parameters of every step that the request leads to."""

    number: int
    """1 for the first request of a session."""
    candidate: str
    by: str
    """The member, as the audit trail names them."""


class Taken(Value):
    """Part of a verdict: a member chose the delivered candidate."""

    by: str
    number: int
    instead: str | None
    """The manager's choice; `None` if that was the original."""
    trade: str
    """What the candidate gives up and gains against the manager's choice, in a sentence."""
    further_looks: int = 0
    """How many candidates were judged on the test examples after the manager's decision, this one included."""
