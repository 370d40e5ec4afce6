"""Recovers the work of dead workers, lost messages, and sessions that nobody advanced.

Every worker process sweeps periodically, and `manage.py sweep` sweeps once. Each move is a compare-and-set or happens
under the session's lock, so any number of sweepers can run at the same time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from apps.agents.contracts.faults import Fault
from apps.agents.contracts.state import ACTIVE, Status
from apps.models import checks, clock
from apps.models.inspection import remove_abandoned_scratch
from apps.models.messages import CHECKS_QUEUE
from apps.models.timing import timing
from apps.optimization import attendance, breakers, messages, pipeline, scratch, tallies, watching, workers
from apps.optimization.errors.running import WorkerLost
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """The number of recovered rows."""

    steps_recovered: int
    checks_recovered: int
    messages_sent: int
    sessions_advanced: int
    folders_removed: int


def sweep() -> Swept:
    """One round over everything."""
    workers.forget_silent()
    attendance.note()
    breakers.forget_gone_workers()
    watching.look_at_queues()
    watching.look_at_checks()
    watching.look_at_sessions()
    return Swept(
        steps_recovered=_recover_steps(),
        checks_recovered=checks.recover(),
        messages_sent=_repeat_messages() + checks.repeat_messages(_workers_for_checks()),
        sessions_advanced=_advance_sessions(),
        folders_removed=scratch.remove_abandoned() + remove_abandoned_scratch(),
    )


def _recover_steps() -> int:
    """Returns steps whose worker fell silent to the queue, or fails them if that happened too often."""
    most = PipelineSettings.current().max_attempts
    stale = SessionStep.objects.stale().select_related("session")
    return sum(_recover(step, most) for step in stale)


def _recover(step: SessionStep, most_attempts: int) -> bool:
    session = step.session
    worker, what_follows = step.worker, "The step will be retried."
    reason = f"The worker {worker} fell silent."
    if not session.is_active or session.cancel_requested_at:
        moved, what_follows = step.cancel(stale=True), "The session had ended already."
    elif step.tried_enough(most_attempts):
        lost = WorkerLost(attempts=step.attempt)
        what_follows = lost.message
        moved = step.fail(lost.code, lost.message, fault=Fault.INFRASTRUCTURE, stale=True)
    else:
        moved = step.hand_back(reason=f"{reason} {what_follows}", stale=True)
        if moved:
            step.refresh_from_db()
            messages.send_step(step)
    if moved:
        logger.warning("Step %s of session %s was taken back: %s", step.key, session.pk, reason)
        tallies.LEASES_LOST.count(step.kind)
        watching.tell_of_lost_worker(session, worker, step.key, what_follows)
        session.log.create(step_key=step.key, level="warning", message=f"{reason} Attempt {step.attempt} was lost.")
        messages.send_advance(session.pk)
    return moved


def _repeat_messages() -> int:
    """Sends again the messages of queued steps that no worker took although one of their queue is idle."""
    living = workers.alive()
    sent = 0
    long_ago = Q(enqueued_at=None) | Q(enqueued_at__lt=clock.after(-timedelta(seconds=timing().message_lost_s)))
    wanted = Q(session__status__in=ACTIVE, session__cancel_requested_at=None)
    paused = Q(queue__in=PipelineSettings.current().paused_queues)
    for step in SessionStep.objects.due().filter(long_ago & wanted).exclude(paused):
        if not any(worker.current_step_id is None for worker in workers.working_on(step.queue, living)):
            continue
        # The sweeper that changes the time sends the message; others find it changed.
        mine = SessionStep.objects.filter(pk=step.pk, status=Status.QUEUED, enqueued_at=step.enqueued_at)
        if mine.update(enqueued_at=Now()):
            messages.send_step(step)
            sent += 1
    return sent


def _workers_for_checks() -> int:
    return len(workers.working_on(CHECKS_QUEUE, workers.alive()))


def _advance_sessions() -> int:
    """Advances active sessions in which nothing is queued or running."""
    idle = list(OptimizationSession.objects.idle().values_list("pk", flat=True))
    for pk in idle:
        pipeline.advance(pk)
    return len(idle)
