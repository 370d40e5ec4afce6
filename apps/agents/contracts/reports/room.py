"""How much memory and disk the workers have."""

from __future__ import annotations

from apps.agents.contracts.values import Value


class WorkersRoom(Value):
    """The most that a step may take on any live worker that serves the session's queue; `None` if it is not known."""

    memory_bytes: int | None = None
    disk_bytes: int | None = None
    """Free bytes for temporary files, when the worker started."""
