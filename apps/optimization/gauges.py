"""The present state of workers and queues, as metrics. Three queries, over the few rows that are at work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min
from django.db.models.functions import Coalesce
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.agents.contracts.state import Status, StepKind
from apps.models import clock
from apps.optimization.models import SessionStep, Worker
from apps.optimization.models.operation import MEASURING_QUEUES
from apps.optimization.querysets import WORKER_SILENCE

STATES = ("idle", "busy", "silent")


def metrics() -> Iterator[Metric]:
    now = clock.now()
    yield from _workers(now)
    yield from _waiting(now)
    yield _running()


def _workers(now: datetime) -> Iterator[Metric]:
    counts: Counter[tuple[str, str]] = Counter()
    spread = GaugeMetricFamily(
        "lathe_worker_timing_spread_ratio",
        "How far from 1 the last A/A control of a worker's machine was: the original timed against "
        "itself. Missing if too few runs were undisturbed.",
        labels=["worker"],
    )
    for worker in Worker.objects.defer("machine"):
        state = state_of(worker, now)
        counts.update((queue, state) for queue in worker.queues)
        measured = worker.health.spread if state != "silent" and worker.health else None
        if measured is not None:
            spread.add_metric([worker.name], measured)
    gauge = GaugeMetricFamily(
        "lathe_workers",
        "Worker processes that serve a queue, by state; silent ones are listed for a day.",
        labels=["queue", "state"],
    )
    queues = {*settings.LATHE.needed_queues, *MEASURING_QUEUES, *(queue for queue, _ in counts)}
    for queue in sorted(queues):
        for state in STATES:
            gauge.add_metric([queue, state], counts[queue, state])
    yield gauge
    yield spread


def state_of(worker: Worker, now: datetime) -> str:
    """One of `STATES`."""
    alive = now - worker.seen_at < WORKER_SILENCE
    return "silent" if not alive else "busy" if worker.current_step_id else "idle"


@dataclass(frozen=True)
class WaitingSteps:
    """The steps that wait in one queue."""

    steps: int
    oldest_age_s: float
    """Since the one that has waited longest was announced."""


def waiting_steps(now: datetime) -> dict[str, WaitingSteps]:
    """By queue; the queues in which none waits are left out."""
    announced = Coalesce("enqueued_at", "created_at")
    waiting = SessionStep.objects.waiting().select_related(None).order_by().values("queue")
    rows = waiting.annotate(steps=Count("pk"), since=Min(announced))
    return {row["queue"]: WaitingSteps(row["steps"], (now - row["since"]).total_seconds()) for row in rows}


def _waiting(now: datetime) -> Iterator[Metric]:
    steps = GaugeMetricFamily("lathe_queue_steps", "Steps that wait in a queue.", labels=["queue"])
    age = GaugeMetricFamily(
        "lathe_queue_oldest_step_age_seconds",
        "Seconds since the step that has waited longest was announced; 0 if none waits.",
        labels=["queue"],
    )
    found = waiting_steps(now)
    for queue in sorted({*MEASURING_QUEUES, *found}):
        row = found.get(queue)
        steps.add_metric([queue], row.steps if row else 0)
        age.add_metric([queue], row.oldest_age_s if row else 0)
    yield steps
    yield age


def _running() -> Metric:
    gauge = GaugeMetricFamily("lathe_steps_running", "Steps that run now.", labels=["kind"])
    running = SessionStep.objects.filter(status=Status.RUNNING).order_by().values("kind").annotate(steps=Count("pk"))
    found = {row["kind"]: row["steps"] for row in running}
    for kind in StepKind:
        gauge.add_metric([kind.value], found.get(kind.value, 0))
    return gauge
