"""The actor that delivers: an id in, a function called."""

from __future__ import annotations

import dramatiq

from apps.notifications import outbox
from apps.notifications.messages import DELIVER

TIME_LIMIT_MS = 110 * 1000
"""Shorter than the lease of a delivery, so that two workers never send the same one at the same time."""


@dramatiq.actor(**DELIVER.declared, max_retries=0, time_limit=TIME_LIMIT_MS)
def deliver(delivery_id: int) -> None:
    """Not retried by Dramatiq: the outbox says when to try again."""
    outbox.deliver(delivery_id)
