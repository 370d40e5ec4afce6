"""The worker processes as rows: what each can do, what it does now, and whether it is still there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

from django.db.models.functions import Now

from apps.agents.machine import describe_machine, installed_versions
from apps.agents.techniques import catalogue
from apps.models import clock
from apps.optimization.models import SessionStep, Worker

FORGET_AFTER = timedelta(days=1)
"""How long the row of a worker that died is shown."""


@cache
def _machine() -> dict[str, object]:
    """This machine and its libraries, read once: neither changes while the process lives."""
    machine = describe_machine().model_dump(mode="json")
    # Techniques that other packages add may need libraries of their own.
    needed = {name for spec in catalogue().values() for name in spec.requires}
    return {**machine, "libraries": machine["libraries"] | installed_versions(sorted(needed))}


def name() -> str:
    """This process, unique among all workers that live."""
    return f"{socket.gethostname()}:{os.getpid()}"[:120]


def report(queues: list[str]) -> None:
    """Says that this process lives and what it can do."""
    known = Worker.objects.filter(pk=name()).update(seen_at=Now(), queues=queues)
    if not known:
        now = clock.now()
        Worker.objects.update_or_create(
            pk=name(), defaults={"seen_at": now, "started_at": now, "queues": queues, "machine": _machine()}
        )


def leave() -> None:
    """Takes this process off the list; it ended in order."""
    Worker.objects.filter(pk=name()).delete()


def forget_silent() -> None:
    """Removes the rows of workers that died long ago."""
    Worker.objects.filter(seen_at__lt=clock.after(-FORGET_AFTER)).delete()


@contextmanager
def busy_with(step: SessionStep) -> Iterator[None]:
    """Shows `step` as what this worker does."""
    mine = Worker.objects.filter(pk=name())
    mine.update(current_step=step)
    try:
        yield
    finally:
        mine.update(current_step=None)


def alive() -> list[Worker]:
    return list(Worker.objects.alive())


def working_on(queue: str, workers: Iterable[Worker]) -> list[Worker]:
    return [worker for worker in workers if queue in worker.queues]
