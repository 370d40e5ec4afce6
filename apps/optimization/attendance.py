"""How many workers were alive over time: counted every five minutes by whichever worker is first, kept for a week.

A moment without a count is one in which no worker was alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils import timezone

from apps.models import clock
from apps.optimization import workers
from apps.optimization.models import WorkerCount

EVERY = timedelta(minutes=5)
KEPT_FOR = timedelta(days=7)


def _moment(at: datetime, every: timedelta = EVERY) -> datetime:
    """The beginning of the interval in which `at` lies."""
    seconds = every.total_seconds()
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, at.tzinfo)


def note() -> None:
    """Counts the workers, unless another worker has done so for these minutes."""
    at = _moment(clock.now())
    if WorkerCount.objects.filter(at=at).exists():
        return
    living = workers.alive()
    busy = sum(worker.current_step_id is not None for worker in living)
    WorkerCount.objects.get_or_create(at=at, defaults={"alive": len(living), "busy": busy})


def forget_old() -> None:
    WorkerCount.objects.filter(at__lt=clock.after(-KEPT_FOR)).delete()


def over(days: int) -> list[WorkerCount]:
    """The most workers in each of equal intervals of the last `days`, from the first count on; zeros where none was
    alive.
    """
    every = EVERY * days
    now = timezone.now()
    most: dict[datetime, WorkerCount] = {}
    for count in WorkerCount.objects.filter(at__gte=now - timedelta(days=days)):
        at = _moment(count.at, every)
        known = most.get(at, WorkerCount(at=at, alive=0, busy=0))
        most[at] = WorkerCount(at=at, alive=max(known.alive, count.alive), busy=max(known.busy, count.busy))
    return list(_without_gaps(most, _moment(now, every), every))


def _without_gaps(most: dict[datetime, WorkerCount], end: datetime, every: timedelta) -> Iterator[WorkerCount]:
    at = min(most, default=None)
    while at is not None and (at < end or at in most):  # the present interval may not have been counted yet
        yield most.get(at) or WorkerCount(at=at, alive=0, busy=0)
        at += every
