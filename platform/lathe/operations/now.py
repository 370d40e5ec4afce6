"""What is going on at this moment: queues, what is not as it should be, and the audit trail. Live on the page."""

from __future__ import annotations

from datetime import datetime

from apps.agents.contracts.values import Value
from apps.audit import verification
from apps.audit.models import AuditVerification
from apps.models import clock
from apps.optimization.gauges import WaitingSteps, state_of, waiting_steps
from apps.optimization.models import PipelineSettings, Worker
from apps.outages import REDIS_AWAY
from lathe import readiness
from lathe.broker import Backlog, backlogs
from lathe.doctor import machine, workers
from lathe.doctor.findings import Finding, State
from lathe.env import QUEUES


class QueueNow(Value):
    """One queue. Messages are null while Redis does not answer; workers are processes that serve the queue."""

    queue: str
    paused: bool
    messages: int | None
    """Those that no worker has taken yet."""
    delayed: int | None
    """Those that are to be taken later, after a backoff."""
    oldest_message_age_s: float | None
    """Since the first in line was sent; 0 if none waits."""
    steps: int
    """Steps of sessions that wait in it."""
    oldest_step_age_s: float
    """Since the step that has waited longest was announced; 0 if none waits."""
    idle: int
    busy: int
    silent: int
    """Workers without a heartbeat, of the last day."""


class Trouble(Value):
    """Something that is not as it should be, as the doctor or `/ready/` says it."""

    check: str
    failed: bool
    """Whether something does not work. Otherwise Lathe works, but not as a team should rely on."""
    sentence: str
    mend: str
    """What to do about it."""


class TrailState(Value):
    """The last verification of the audit trail."""

    whole: bool
    events: int
    verified_at: datetime
    sentence: str


class Now(Value):
    """The state of the installation at this moment."""

    queues: tuple[QueueNow, ...]
    alive: int
    busy: int
    troubles: tuple[Trouble, ...]
    trail: TrailState | None
    """Null before the first verification."""


def now() -> Now:
    moment = clock.now()
    every = list(Worker.objects.all())
    states = {worker.pk: state_of(worker, moment) for worker in every}
    living = [worker for worker in every if states[worker.pk] != "silent"]
    return Now(
        queues=_queues(moment, every, states),
        alive=len(living),
        busy=sum(states[worker.pk] == "busy" for worker in living),
        troubles=_troubles(living),
        trail=_trail(verification.last()),
    )


def _queues(moment: datetime, every: list[Worker], states: dict[str, str]) -> tuple[QueueNow, ...]:
    waiting, messages = waiting_steps(moment), _messages()
    served = {queue for worker in every for queue in worker.queues}
    paused = set(PipelineSettings.current().paused_queues)
    found = []
    for queue in dict.fromkeys([*QUEUES, *sorted(served | set(waiting))]):
        backlog = messages.get(queue)
        steps = waiting.get(queue, WaitingSteps(0, 0.0))
        serving = [states[worker.pk] for worker in every if queue in worker.queues]
        found.append(
            QueueNow(
                queue=queue,
                paused=queue in paused,
                messages=backlog.messages if backlog else None,
                delayed=backlog.delayed if backlog else None,
                oldest_message_age_s=backlog.oldest_age_s if backlog else None,
                steps=steps.steps,
                oldest_step_age_s=steps.oldest_age_s,
                idle=serving.count("idle"),
                busy=serving.count("busy"),
                silent=serving.count("silent"),
            )
        )
    return tuple(found)


def _messages() -> dict[str, Backlog]:
    """Empty while Redis does not answer, which `/ready/` tells."""
    try:
        return backlogs()
    except REDIS_AWAY:
        return {}


def _troubles(living: list[Worker]) -> tuple[Trouble, ...]:
    """What `/ready/` and the cheap checks of the doctor find."""
    missing = [
        Trouble(check=one.name, failed=True, sentence=one.sentence, mend=machine.MENDS[one.name])
        for one in readiness.last_answer.get()
        if not one.ok
    ]
    found: list[Finding] = [*machine.disk(), *(one for worker in living for one in workers.of_worker(worker))]
    reported = [
        Trouble(check=one.check, failed=one.state == State.FAILED, sentence=one.sentence, mend=one.mend)
        for one in found
        if one.state != State.OK
    ]
    return tuple(sorted([*missing, *reported], key=lambda one: not one.failed))


def _trail(found: AuditVerification | None) -> TrailState | None:
    if found is None:
        return None
    return TrailState(whole=found.whole, events=found.events, verified_at=found.at, sentence=found.sentence)
