"""Sends work to the workers, once the rows that describe it are committed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.agents.contracts.state import Status
from apps.models import clock
from apps.optimization.models import SessionStep
from apps.outages import BROKER_AWAY
from apps.sending import Recipient

ADVANCE = Recipient("advance", "default")
RUN_STEP = Recipient("run_step", "cpu")
RUN_STEP_ON_GPU = Recipient("run_step_on_gpu", "gpu")
TIDY_UP = Recipient("tidy_up", "default")
VERIFY_TRAIL = Recipient("verify_trail", "default")

logger = logging.getLogger(__name__)


def send_advance(session_id: UUID) -> None:
    """Requests the session's next move after the transaction."""
    transaction.on_commit(lambda: _advance(str(session_id)))


def send_step(step: SessionStep) -> None:
    """Announces a queued step on its queue after the transaction, no earlier than its backoff allows."""
    SessionStep.objects.filter(pk=step.pk, status=Status.QUEUED).update(enqueued_at=Now())
    delay_ms = _delay_ms(step.not_before)
    transaction.on_commit(lambda: _step(step.pk, step.queue, delay_ms))


def announce_again(queues: Iterable[str]) -> None:
    """Announces every step that waits on `queues`, which are no longer paused."""
    for step in SessionStep.objects.waiting().filter(queue__in=tuple(queues)):
        send_step(step)


def _delay_ms(not_before: datetime | None) -> int:
    if not_before is None:
        return 0
    # Slightly longer, because a message that arrives too early would only be resent.
    return max(0, int((not_before - clock.now()).total_seconds() * 1000) + 100)


def _advance(session_id: str) -> None:
    try:
        ADVANCE.send(session_id)
    except BROKER_AWAY:
        logger.exception(
            "Session %s: the broker cannot be reached. The sweeper will send the message again.", session_id
        )


def _step(step_id: int, queue: str, delay_ms: int) -> None:
    recipient = RUN_STEP_ON_GPU if queue == RUN_STEP_ON_GPU.queue else RUN_STEP
    try:
        recipient.send(step_id, delay_ms=delay_ms)
    except BROKER_AWAY:
        logger.exception("Step %s: the broker cannot be reached. The sweeper will announce it again.", step_id)


def send_when_due(step_id: int) -> None:
    """Announces a queued step again if its message arrived early, because machines' clocks differ."""
    step = SessionStep.objects.filter(pk=step_id, status=Status.QUEUED).first()
    if step is not None and (delay_ms := _delay_ms(step.not_before)):
        _step(step.pk, step.queue, delay_ms)


def send_later(step_id: int, delay_ms: int) -> None:
    """Announces a step again that this worker cannot take now, because an idle one may be faster."""
    queue = SessionStep.objects.filter(pk=step_id).values_list("queue", flat=True).first()
    if queue is not None:
        _step(step_id, queue, delay_ms)
