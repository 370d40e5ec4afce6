"""Delivers what the outbox holds: claimed by compare-and-set, retried with backoff, given up loudly.

A message may arrive more than once, always with the same id, but none is lost: what a dead worker had claimed becomes
due again, and the sweeper sends what no worker has taken.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.audit import trail
from apps.notifications import chats, failures, mails, messages, tallies, webhooks
from apps.notifications.models import Attempt, Channel, Delivery, DeliveryStatus, Medium, Notification
from apps.notifications.sending import Failed

logger = logging.getLogger(__name__)

BACKOFF_S = (5, 60, 300, 1800, 7200, 18000, 36000)
"""The wait after each failed attempt. After one more, about 18 hours after the first, the message is given up."""
MOST_TRIES = len(BACKOFF_S) + 1
LEASE = timedelta(minutes=2)
LOST_AFTER = timedelta(minutes=1)
"""A message to the workers that has had no effect for so long is sent again."""
TOGETHER = (Medium.EMAIL, Medium.CHAT)
"""What carries several held messages in one. Of a webhook, each stands for itself."""
MOST_AT_ONCE = 100
"""The most messages that are held back and then go out together."""
KEEP_DELIVERIES = timedelta(days=30)
KEEP_NOTIFICATIONS = timedelta(days=90)


@dataclass(frozen=True)
class _Claimed:
    claim: uuid.UUID
    channel: Channel
    deliveries: list[Delivery]


def deliver(delivery_id: int) -> None:
    """Tries a delivery that is due, and with it what was held back for the same channel."""
    claimed = _claim(delivery_id)
    if claimed is None:
        return
    began = time.monotonic()
    status, failure = None, None
    try:
        status = _send(claimed.channel, claimed.deliveries)
    except Failed as failed:
        failure = failed
    except Exception:
        logger.exception("Delivery %s could not be sent.", delivery_id)
        failure = Failed(failures.OURS)
    except BaseException:
        # The worker's limit of time, or its end: the try counts, or it would be repeated for ever.
        logger.warning("Delivery %s was interrupted.", delivery_id)
        _note(claimed, None, Failed(failures.INTERRUPTED), took_ms=_since(began))
        raise
    _note(claimed, status, failure, took_ms=_since(began))


def _since(began: float) -> int:
    """The milliseconds since then."""
    return int((time.monotonic() - began) * 1000)


def _claim(delivery_id: int) -> _Claimed | None:
    """Claims what is to go out, if nobody else has. What nobody may receive any more ends here."""
    first = Delivery.objects.due().filter(pk=delivery_id).select_related("channel").first()
    if first is None:
        return None
    wanted = [first.pk]
    if first.held and first.channel.medium in TOGETHER:
        held = Delivery.objects.due().filter(channel=first.channel_id, held=True).order_by("pk")
        wanted = list(held.values_list("pk", flat=True)[:MOST_AT_ONCE])
    claim = uuid.uuid4()
    taken = Delivery.objects.due().filter(pk__in=wanted).update(claim=claim, claimed_until=timezone.now() + LEASE)
    if not taken:
        return None
    rows = Delivery.objects.filter(claim=claim).select_related("notification__team").order_by("pk")
    channel = Channel.objects.select_related("user", "team").get(pk=first.channel_id)
    claimed = _Claimed(claim, channel, list(rows))
    if any(row.notification for row in claimed.deliveries) and not _still_wanted(channel):
        _end(claimed, DeliveryStatus.GIVEN_UP, failures.UNWANTED)
        return None
    return claimed


def _still_wanted(channel: Channel) -> bool:
    return Channel.objects.switched_on().filter(pk=channel.pk).exists()


def _send(channel: Channel, deliveries: Sequence[Delivery]) -> int | None:
    """Sends the messages by the channel's medium. Returns the HTTP status, if there is one. Raises `Failed`."""
    if channel.medium == Medium.WEBHOOK:
        return webhooks.send(channel, deliveries[0])
    senders: dict[str, Callable[[Channel, Sequence[Delivery]], None]] = {
        Medium.EMAIL: mails.send,
        Medium.CHAT: chats.send,
    }
    senders[channel.medium](channel, deliveries)
    return None


# --- how an attempt ended --------------------------------------------------------------------------------------------


@transaction.atomic
def _note(claimed: _Claimed, status: int | None, failure: Failed | None, *, took_ms: int) -> None:
    """Writes down the attempt and what follows from it, unless another worker has taken the deliveries over."""
    mine = Delivery.objects.filter(claim=claimed.claim, status=DeliveryStatus.WAITING)
    claimed.deliveries[:] = list(
        mine.select_related("notification__team").select_for_update(of=("self",)).order_by("pk")
    )
    error = str(failure)[:500] if failure else ""
    answered = failure.status if failure else status
    Attempt.objects.bulk_create(
        Attempt(delivery=row, status=answered, error=error, took_ms=took_ms) for row in claimed.deliveries
    )
    tallies.ATTEMPTS.count(claimed.channel.medium, "failed" if failure else "succeeded")
    for row in claimed.deliveries:
        Delivery.objects.filter(pk=row.pk).update(tries=row.tries + 1)
    if failure is None:
        _end(claimed, DeliveryStatus.DELIVERED, "")
    elif failure.final or any(_last_try(row) for row in claimed.deliveries):
        _give_up(claimed, failure)
    else:
        tries = max((row.tries for row in claimed.deliveries), default=0)
        wait_s = max(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)], failure.retry_after_s)
        due_at = timezone.now() + timedelta(seconds=wait_s)
        mine.update(error=error, due_at=due_at, claim=None, claimed_until=None, asked_at=None)


def _last_try(row: Delivery) -> bool:
    """A test is tried once: whoever pressed the button waits for its result."""
    return row.notification is None or row.tries + 1 >= MOST_TRIES


def _end(claimed: _Claimed, status: DeliveryStatus, error: str) -> None:
    ended = Delivery.objects.filter(claim=claimed.claim).update(
        status=status, error=error, ended_at=timezone.now(), claim=None, claimed_until=None
    )
    for _ in range(ended):
        tallies.DELIVERIES.count(claimed.channel.medium, status)


def _give_up(claimed: _Claimed, failure: Failed) -> None:
    """Ends the deliveries without success. The log, the audit trail, the deliveries' page and a bell say so."""
    channel = claimed.channel
    _end(claimed, DeliveryStatus.GIVEN_UP, str(failure)[:500])
    for row in claimed.deliveries:
        if row.notification is None:
            continue
        logger.error("Delivery %s to channel %s was given up: %s", row.pk, channel.pk, failure)
        trail.record(
            "notification.given_up",
            team=channel.team,
            subject=str(channel),
            reason=f"{row.subject}: {failure}",
            data={"channel": channel.pk, "user": channel.user_id, "delivery": row.pk, "tries": row.tries + 1},
        )
    if failure.status == webhooks.GONE and Channel.objects.filter(pk=channel.pk, enabled=True).update(enabled=False):
        trail.record("channel.switched_off", team=channel.team, subject=str(channel), reason=str(failure))


# --- what nobody has taken -------------------------------------------------------------------------------------------


def sweep() -> int:
    """Sends the due deliveries to the workers that none has been asked to try lately. Returns their number."""
    lost = Q(asked_at=None) | Q(asked_at__lt=timezone.now() - LOST_AFTER)
    sent, together = 0, set()
    for row in Delivery.objects.due().filter(lost).select_related("channel").order_by("due_at")[:1000]:
        bundled = row.held and row.channel.medium in TOGETHER
        if bundled and row.channel_id in together:
            continue
        # The sweeper that changes the time sends the message; others find it changed.
        if Delivery.objects.filter(pk=row.pk, asked_at=row.asked_at).update(asked_at=Now()):
            messages.send(row.pk)
            sent += 1
            if bundled:
                together.add(row.channel_id)
    return sent


def prune() -> None:
    """Removes old notifications, and the log of old deliveries."""
    now = timezone.now()
    Delivery.objects.filter(created_at__lt=now - KEEP_DELIVERIES).exclude(status=DeliveryStatus.WAITING).delete()
    Notification.objects.filter(created_at__lt=now - KEEP_NOTIFICATIONS).delete()
