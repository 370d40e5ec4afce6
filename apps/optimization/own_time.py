"""A session's own time: the time during which at least one of its steps runs. Its budget of minutes counts this time.

Waiting behind other sessions, backoffs and the pause before a resume are not included; failed attempts are. Steps that
run concurrently count once. All times are by the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from apps.agents.contracts.state import Status

if TYPE_CHECKING:
    from apps.optimization.models import SessionStep

Span = tuple[datetime, datetime]


def worked_s(steps: Iterable[SessionStep], now: datetime) -> float:
    """Seconds during which at least one of `steps` ran."""
    return union_s(span for step in steps for span in runs(step, now))


def union_s(spans: Iterable[Span]) -> float:
    """Seconds covered by the union of `spans`."""
    total, covered_to = 0.0, None
    for begin, end in sorted(spans):
        start = begin if covered_to is None else max(begin, covered_to)
        if end > start:
            total += (end - start).total_seconds()
        covered_to = end if covered_to is None else max(covered_to, end)
    return total


def runs(step: SessionStep, now: datetime) -> Iterator[Span]:
    """All runs of `step`. A run of a worker that fell silent lasts until its lease expired."""
    for begin, end in step.earlier_runs:
        yield datetime.fromisoformat(begin), datetime.fromisoformat(end)
    if step.started_at is None:
        return
    if step.finished_at is not None:
        yield step.started_at, step.finished_at
    elif step.status == Status.RUNNING:
        yield step.started_at, now if step.lease_expires_at is None else min(now, step.lease_expires_at)


def runs_kept(step: SessionStep, now: datetime) -> list[list[str]]:
    """The new value of `SessionStep.earlier_runs` when `step` goes back to the queue."""
    return [[begin.isoformat(), end.isoformat()] for begin, end in runs(step, now)]
