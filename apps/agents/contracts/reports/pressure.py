"""How much of the cores other programs took."""

from __future__ import annotations

from apps.agents.contracts.values import Value


class Pressure(Value):
    """What happened to the cores between two readings. Shares are of that time, from 0 to 1."""

    seconds: float
    waiting_share: float | None = None
    """In which at least one program of the whole machine waited for a core."""
    group_waiting_share: float | None = None
    """The same for the programs of this process's control group, such as its container."""
    steal_share: float | None = None
    """Of the time of this process's cores: what a virtual machine's host gave to others."""
    throttled_periods: int | None = None
    """How often the control group had used up its CPU limit and had to wait."""
    load: float | None = None
    """The load average of the last minute at the end: programs that run or wait, on all cores."""
