"""Sends work to the workers, once the rows that describe it are committed.

Actors are imported on first use: `django_dramatiq` sets the broker when the apps are ready, and an actor declared
before that would belong to another broker.
"""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from dramatiq.errors import BrokerError
from redis.exceptions import RedisError

from apps.agents.contracts.state import Status
from apps.models import clock
from apps.optimization.models import SessionStep

logger = logging.getLogger(__name__)


def send_advance(session_id: UUID) -> None:
    """Requests the session's next move after the transaction."""
    transaction.on_commit(lambda: _advance(str(session_id)))


def send_step(step: SessionStep) -> None:
    """Announces a queued step on its queue after the transaction, no earlier than its backoff allows."""
    SessionStep.objects.filter(pk=step.pk, status=Status.QUEUED).update(enqueued_at=Now())
    delay_ms = _delay_ms(step.not_before)
    transaction.on_commit(lambda: _step(step.pk, step.queue, delay_ms))


def _delay_ms(not_before: datetime | None) -> int:
    if not_before is None:
        return 0
    # Slightly longer, because a message that arrives too early would only be resent.
    return max(0, int((not_before - clock.now()).total_seconds() * 1000) + 100)


def _advance(session_id: str) -> None:
    from apps.optimization.actors import advance

    try:
        advance.send(session_id)
    except (RedisError, BrokerError, OSError):
        logger.exception(
            "Session %s: the broker cannot be reached. The sweeper will send the message again.", session_id
        )


def _step(step_id: int, queue: str, delay_ms: int) -> None:
    from apps.optimization.actors import run_step, run_step_on_gpu

    actor = run_step_on_gpu if queue == "gpu" else run_step
    try:
        actor.send_with_options(args=(step_id,), delay=delay_ms or None)
    except (RedisError, BrokerError, OSError):
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
