"""How much of the cores other programs took."""

from __future__ import annotations

from apps.agents.contracts.values import Value


class Pressure(Value):
    """How contested the cores were between two readings. Shares are of the time between them, from 0 to 1."""

    seconds: float
    waiting_share: float | None = None
    """The time in which at least one program on the whole machine waited for a core."""
    group_waiting_share: float | None = None
    """The same for the programs in this process's control group, such as its container."""
    steal_share: float | None = None
    """The time of this process's cores that the host of a virtual machine gave to others."""
    throttled_periods: int | None = None
    """How often the control group had used up its CPU limit and had to wait."""
    load: float | None = None
    """The load average of the last minute before the end: programs that run or wait, on all cores."""
