"""What a row of a comparison says about its sides."""

from __future__ import annotations

from enum import StrEnum

from apps.agents.contracts.values import Value


class Difference(StrEnum):
    DIFFERS = "differs"
    SAME = "same"
    NOT_SHOWN = "not shown"
    """The values differ, but their intervals overlap, so it may be chance."""
    NOT_KNOWN = "not known"
    """Not every side was measured, and those that were do not differ."""


class Compared(Value):
    """A row of any kind."""

    difference: Difference

    @property
    def differs(self) -> bool:
        return self.difference is Difference.DIFFERS
