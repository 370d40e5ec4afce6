"""How much memory and disk a step of a session may take on the live workers."""

from __future__ import annotations

from collections.abc import Iterable

from apps.agents.contracts.criteria import Device
from apps.agents.contracts.reports.room import WorkersRoom
from apps.optimization import workers
from apps.optimization.models import PipelineSettings


def room_for(device: Device) -> WorkersRoom | None:
    """The most that a step may take on a live worker of the device's queue; `None` without one, as nothing is known.

    The memory is that of the worker's machine, within the operators' limit for a step.
    """
    living = workers.working_on("gpu" if device is Device.CUDA else "cpu", workers.alive())
    if not living:
        return None
    memory = _largest(worker.memory_bytes for worker in living)
    limit = PipelineSettings.current().step_memory_limit_bytes
    return WorkersRoom(
        memory_bytes=None if memory is None else min(memory, limit),
        disk_bytes=_largest(worker.scratch_free_bytes for worker in living),
    )


def _largest(known: Iterable[int | None]) -> int | None:
    """The largest; `None` if one worker does not tell, because it may have more."""
    values = list(known)
    return None if None in values else max(one for one in values if one is not None)
