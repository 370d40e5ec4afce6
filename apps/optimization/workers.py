"""The worker processes as rows: their capabilities, their current step, and whether they are alive."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from apps.agents.contracts.refinement import SAMPLING_LIBRARY
from apps.agents.contracts.state import Status, StepKind
from apps.agents.measuring.machine import describe_machine, installed_versions
from apps.agents.measuring.scheduling.health import TimingHealth
from apps.agents.measuring.scheduling.priority import priority
from apps.agents.sandbox.walls.closing import means
from apps.agents.techniques.catalogue import broken_techniques, catalogue
from apps.ids import worker_name
from apps.models import clock
from apps.optimization import devices, scratch
from apps.optimization.models import SessionStep, Worker
from apps.optimization.models.operation import ACCELERATION, CLOCK_SKEW, CODE, SANDBOX, SCRATCH_FREE
from apps.optimization.readings import once
from apps.release import code_digest

FORGET_AFTER = timedelta(days=1)
"""How long a dead worker is still listed."""

stopping = threading.Event()
"""Set when this process is told to stop. Running work is then returned to be done by another worker."""


@cache
def _machine() -> dict[str, object]:
    """This machine and its libraries, read once: neither changes while the process lives."""
    machine = describe_machine().model_dump(mode="json")
    # Techniques from other packages may need additional libraries.
    needed = {SAMPLING_LIBRARY} | {name for spec in catalogue().values() for name in spec.requires}
    return {
        **machine,
        "libraries": machine["libraries"] | installed_versions(sorted(needed)),
        SCRATCH_FREE: scratch.free_bytes(),
        SANDBOX: means(settings.LATHE.sandbox).model_dump(mode="json"),
        "broken_techniques": [one.model_dump(mode="json") for one in broken_techniques()],
    }


def _described(queues: list[str]) -> dict[str, object]:
    """This machine as a worker of these queues sees it: with its devices, if it computes on one, its code and clock."""
    return _machine() | {
        ACCELERATION: devices.acceleration(queues).model_dump(mode="json"),
        CODE: code_digest(),
        CLOCK_SKEW: clock.skew_s(),
    }


def name() -> str:
    """The name of this process, unique among all live workers."""
    return worker_name()


def report(queues: list[str]) -> None:
    """Sends this process's heartbeat and its capabilities."""
    known = Worker.objects.filter(pk=name()).update(seen_at=Now(), queues=queues)
    if not known:
        now = clock.now()
        known_since = {"seen_at": now, "started_at": now, "queues": queues, "machine": _described(queues)}
        Worker.objects.update_or_create(pk=name(), defaults=known_since | _measuring(queues))


def _measuring(queues: list[str]) -> dict[str, Any]:
    """How this process measures, if it serves a queue that measures."""
    if not Worker(queues=queues).measures:
        return {}
    with priority() as granted:
        return {"measuring_cores": list(settings.LATHE.cores), "priority": granted, "timing": _last_timing()}


def _last_timing() -> dict[str, Any] | None:
    """The last timing by an earlier worker of this machine, if still stored."""
    here = SessionStep.objects.filter(worker__startswith=f"{socket.gethostname()}:"[:120])
    timed = here.filter(kind=StepKind.EVALUATE, status=Status.COMPLETED, finished_at__isnull=False)
    last = timed.order_by("-finished_at").first()
    return _timing(last.result, last.finished_at) if last and last.finished_at else None


def _timing(evaluation: dict[str, Any], at: datetime) -> dict[str, Any]:
    return TimingHealth.of(evaluation["latency"], at).model_dump(mode="json")


def note_timing(evaluation: dict[str, Any]) -> TimingHealth:
    """Stores and returns the timing quality of this machine from the `EvaluationReport` that this process has just
    made.
    """
    timing = _timing(evaluation, clock.now())
    Worker.objects.filter(pk=name()).update(timing=timing)
    return TimingHealth.model_validate(timing)


def leave() -> None:
    """Removes this process from the list after an orderly end."""
    Worker.objects.filter(pk=name()).delete()


def forget_silent() -> None:
    """Removes the rows of workers that died long ago."""
    Worker.objects.filter(seen_at__lt=clock.after(-FORGET_AFTER)).delete()


@contextmanager
def busy_with(step: SessionStep) -> Iterator[None]:
    """Records `step` as this worker's current step."""
    mine = Worker.objects.filter(pk=name())
    mine.update(current_step=step)
    try:
        yield
    finally:
        mine.update(current_step=None)


def alive() -> list[Worker]:
    return once(Worker, lambda: list(Worker.objects.alive()))


def libraries() -> frozenset[str]:
    """The distributions that at least one live worker has installed."""
    return frozenset(name for worker in alive() for name in worker.libraries)


def working_on(queue: str, workers: Iterable[Worker]) -> list[Worker]:
    return [worker for worker in workers if queue in worker.queues]
