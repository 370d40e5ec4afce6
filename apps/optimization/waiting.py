"""Waiting sessions: the position of each in its queue, and an estimate of when its next step starts.

A queue is served in the order in which its steps were announced, or became due after a backoff. The estimate simulates
this: each worker of the queue becomes free when its step ends (by the step's own estimate, or by the usual duration of
such steps) and takes the next step in line.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from uuid import UUID, uuid4

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.criteria import Device
from apps.agents.contracts.state import Status, StepKind
from apps.agents.contracts.values import Value
from apps.models import clock
from apps.optimization import breakers, own_time, workers
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep, Worker

LATELY = 200
"""How many recently ended steps determine the usual duration of each kind."""
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_OF_A_RUNNING_STEP = ("pk", "session_id", "kind", "eta_s", "started_at")
_OF_A_WAITING_STEP = ("pk", "session_id", "kind", "queue", "enqueued_at", "created_at", "not_before")
_DEVICE = "criteria_body__target__device"
_ORDINALS = {1: _("{number}st"), 2: _("{number}nd"), 3: _("{number}rd")}
_OTHER_ORDINALS = _("{number}th")


class Wait(Value):
    """The wait of a session that has a step to run, but none running."""

    queue: str
    """`cpu` or `gpu`."""
    place: int
    """The position of its next step among all that wait there; 1 is next."""
    workers: int
    """The number of live workers that serve the queue."""
    estimate_s: float | None = None
    """Seconds until its step starts; `None` if no worker serves the queue, or the duration of their
    steps is unknown.
    """
    sentence: str
    """`3rd in the queue, about 4 minutes`."""


@dataclass(frozen=True)
class _Entry:
    session: UUID
    kind: str
    ready_at: datetime


def _waits_at(now: datetime, living: list[Worker], wanted: Collection[UUID]) -> dict[UUID, Wait]:
    """The waits of the waiting ones among the sessions `wanted`. However many others wait, the number of queries is
    the same, and of each only its place in line is read.
    """
    lines = _entries()
    if not any(entry.session in wanted for entries in lines.values() for entry in entries):
        return {}
    return _waits_in(lines, now, living, wanted)


def _waits_in(
    lines: Mapping[str, list[_Entry]], now: datetime, living: list[Worker], wanted: Collection[UUID]
) -> dict[UUID, Wait]:
    """The waits of the sessions `wanted` in these lines, by queue."""
    running = list(SessionStep.objects.filter(status=Status.RUNNING).only(*_OF_A_RUNNING_STEP))
    at_work = {step.session_id for step in running}
    alone = not running and all(len(entries) <= 1 for entries in lines.values())
    typical = {} if alone else typical_durations_s()
    paused = PipelineSettings.current().paused_queues
    resting = breakers.paused_workers()
    waits: dict[UUID, Wait] = {}
    for queue, entries in lines.items():
        there = workers.working_on(queue, living)
        serving = [worker for worker in there if worker.name not in resting]
        free_s = _free_in_s(serving, running, typical, now)
        for place, (entry, start_s) in enumerate(_starts(entries, free_s, typical, now), start=1):
            if entry.session in wanted and entry.session not in at_work and entry.session not in waits:
                waits[entry.session] = _wait(
                    queue, place, len(free_s), None if queue in paused else start_s, all_rest=there != serving == []
                )
    return waits


def waits_of(
    sessions: Iterable[OptimizationSession], now: datetime | None = None, living: list[Worker] | None = None
) -> Mapping[UUID, Wait]:
    """The waits of the waiting ones among `sessions`. Makes no query if none is active. `now` is the database's time,
    and `living` are the live workers, if they are at hand.
    """
    active = {session.pk for session in sessions if session.is_active}
    if not active:
        return {}
    return _waits_at(now or clock.now(), workers.alive() if living is None else living, active)


def wait_of_another(device: Device) -> Wait:
    """The wait of a session for this device, if it were started now: it would be the last in line."""
    now, itself = clock.now(), uuid4()
    lines = _entries()
    lines.setdefault(_queue_of(device), []).append(_Entry(itself, StepKind.ANALYSE, now))
    wait = _waits_in(lines, now, workers.alive(), {itself})[itself]
    return wait.model_copy(update={"sentence": gettext("it starts at once")}) if wait.estimate_s == 0 else wait


def _queue_of(device: str) -> str:
    """The queue of a session's first step."""
    return "gpu" if device == Device.CUDA else "cpu"


def own_times_s(sessions: Iterable[OptimizationSession]) -> Mapping[UUID, float]:
    """The own time of each of `sessions` (`OptimizationSession.own_time_s`), in one query for all active ones."""
    rows = list(sessions)
    active = {session.pk for session in rows if session.is_active}
    steps: dict[UUID, list[SessionStep]] = defaultdict(list)
    for step in SessionStep.objects.filter(session__in=active) if active else ():
        steps[step.session_id].append(step)
    now = clock.now()
    return {
        session.pk: own_time.worked_s(steps[session.pk], now) if session.pk in active else session.worked_s
        for session in rows
    }


def typical_durations_s() -> dict[str, float]:
    """The recent median duration of each kind of step, in seconds."""
    ended = SessionStep.objects.filter(status=Status.COMPLETED, started_at__isnull=False, finished_at__isnull=False)
    took: dict[str, list[float]] = defaultdict(list)
    for kind, begin, end in ended.order_by("-pk").values_list("kind", "started_at", "finished_at")[:LATELY]:
        if begin and end:
            took[kind].append((end - begin).total_seconds())
    return {kind: median(durations) for kind, durations in took.items()}


def _entries() -> dict[str, list[_Entry]]:
    """The waiting steps of each queue, in the order in which they will be taken."""
    queues: dict[str, list[_Entry]] = defaultdict(list)
    waiting = SessionStep.objects.waiting().select_related(None).only(*_OF_A_WAITING_STEP)
    for step in waiting.order_by("pk"):
        announced_at = step.enqueued_at or step.created_at
        ready_at = max(announced_at, step.not_before) if step.not_before else announced_at
        queues[step.queue].append(_Entry(step.session_id, step.kind, ready_at))
    unannounced = OptimizationSession.objects.filter(status=Status.QUEUED, steps=None, cancel_requested_at=None)
    for pk, created_at, device in unannounced.order_by().values_list("pk", "created_at", _DEVICE):
        queues[_queue_of(device)].append(_Entry(pk, StepKind.ANALYSE, created_at))
    return {queue: sorted(entries, key=lambda entry: entry.ready_at) for queue, entries in queues.items()}


def _free_in_s(
    serving: list[Worker], running: list[SessionStep], typical: Mapping[str, float], now: datetime
) -> list[float]:
    """The seconds until each of the workers becomes free; infinity if unknown."""
    left = {step.pk: _left_s(step, typical, now) for step in running}
    return [left.get(worker.current_step_id, 0.0) if worker.current_step_id else 0.0 for worker in serving]


def _left_s(step: SessionStep, typical: Mapping[str, float], now: datetime) -> float:
    if step.eta_s is not None:
        return step.eta_s
    if step.started_at is None or step.kind not in typical:
        return math.inf
    return max(0.0, typical[step.kind] - (now - step.started_at).total_seconds())


def _starts(
    entries: list[_Entry], free_s: list[float], typical: Mapping[str, float], now: datetime
) -> list[tuple[_Entry, float]]:
    """Each of `entries` with the seconds until it starts; infinity if unknown."""
    free = list(free_s)
    heapq.heapify(free)
    starts = []
    for entry in entries:
        if not free:
            starts.append((entry, math.inf))
            continue
        start_s = max(heapq.heappop(free), (entry.ready_at - now).total_seconds(), 0.0)
        starts.append((entry, start_s))
        heapq.heappush(free, start_s + typical.get(entry.kind, math.inf))
    return starts


# --- words -----------------------------------------------------------------------------------------------------------


def _wait(queue: str, place: int, serving: int, start_s: float | None, *, all_rest: bool) -> Wait:
    """`start_s` is `None` on a queue that is paused. With `all_rest`, its workers are, each for itself."""
    known = start_s is not None and math.isfinite(start_s)
    return Wait(
        queue=queue,
        place=place,
        workers=serving,
        estimate_s=round(start_s, 1) if known and start_s is not None else None,
        sentence=_paused(queue, place) if start_s is None else _sentence(queue, place, serving, start_s, all_rest),
    )


def _sentence(queue: str, place: int, serving: int, start_s: float, all_rest: bool = False) -> str:
    where = _place(place)
    if all_rest:
        sentence = gettext("{place}, and every worker of the queue {queue} is paused after failures in a row")
        return sentence.format(place=where, queue=queue)
    if not serving:
        return gettext("{place}, and no live worker serves the queue {queue}").format(place=where, queue=queue)
    return f"{where}, {about(start_s)}" if math.isfinite(start_s) else where


def _paused(queue: str, place: int) -> str:
    sentence = gettext("{place}, and an operator has paused the queue {queue}")
    return sentence.format(place=_place(place), queue=queue)


def _place(place: int) -> str:
    if place == 1:
        return gettext("next in the queue")
    return gettext("{ordinal} in the queue").format(ordinal=_ordinal(place))


def _ordinal(number: int) -> str:
    teen = 10 <= number % 100 <= 20
    words = _OTHER_ORDINALS if teen else _ORDINALS.get(number % 10, _OTHER_ORDINALS)
    return str(words).format(number=number)


def about(seconds: float) -> str:
    """A rough time in words: `about 40 seconds`, `about 4 minutes`, `about 2 hours`."""
    if seconds < 5:
        return gettext("a few seconds")
    if seconds < 55:
        return gettext("about {number} seconds").format(number=max(10, round(seconds / 10) * 10))
    unit_s = next((one for one in (_MINUTE_S, _HOUR_S) if seconds < one * 100), _DAY_S)
    count = max(1, round(seconds / unit_s))
    match unit_s:
        case 60:
            words = ngettext("about {number} minute", "about {number} minutes", count)
        case 3600:
            words = ngettext("about {number} hour", "about {number} hours", count)
        case _:
            words = ngettext("about {number} day", "about {number} days", count)
    return words.format(number=count)
