"""The one way in: each audit event becomes at most one notification, in bells and in the outbox.

It runs in the transaction that writes the event, so a notification exists exactly if what it tells happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.live import pokes
from apps.notifications import messages
from apps.notifications.hours import hours_of
from apps.notifications.models import BellEntry, Channel, Delivery, Medium, Notification, defaults_of
from apps.notifications.stories import Story, story_of


def bell_group(user_id: int) -> str:
    """The channel group of the bells that a user has open."""
    return f"bell.{user_id}"


def take(event: AuditEvent) -> None:
    """Writes the notification that `event` calls for, if any."""
    story = story_of(event)
    if story is None:
        return
    notification = Notification.objects.create(
        team_id=event.team_id,
        event=event.sequence,
        kind=story.kind.name,
        title=story.title[:200],
        form=story.form,
        values=story.values,
        text=story.text,
        path=story.path,
        concerns_id=story.concerns,
        data=story.data,
    )
    people = list(_people(event, story))
    _ring(notification, people)
    if not story.kind.bell_only:
        put_out(notification, [*_mail_channels(notification, people), *_other_channels(notification)])


def _people(event: AuditEvent, story: Story) -> QuerySet[User]:
    """Who may be told: the team's members or the operators, without the one who did it."""
    people = User.objects.filter(is_active=True, service_of=None)
    if event.team_id is None:
        people = people.filter(is_staff=True)
    else:
        people = people.filter(memberships__team=event.team_id, memberships__role__in=story.roles)
    if story.only is not None:
        people = people.filter(pk=story.only)
    return people.exclude(pk__in=[user for user in (event.user_id, story.but) if user is not None])


def _own_channels(notification: Notification, people: Iterable[User], medium: Medium) -> list[Channel]:
    """The bell or e-mail channel of each of `people` that carries the notification; as yet unsaved if it is the
    default one.
    """
    rows = Channel.objects.filter(team=notification.team_id, medium=medium, user__in=people)
    kept = {channel.user_id: channel for channel in rows}
    for person in people:
        if person.pk not in kept:
            kept[person.pk] = Channel(
                team_id=notification.team_id, user=person, medium=medium, **_defaults(notification, medium, person)
            )
    return [channel for channel in kept.values() if channel.enabled and channel.carries(notification)]


def _defaults(notification: Notification, medium: Medium, person: User) -> dict[str, Any]:
    return defaults_of(medium, person, installation=notification.team_id is None)


def _ring(notification: Notification, people: list[User]) -> None:
    bells = _own_channels(notification, people, Medium.BELL)
    users = [bell.user_id for bell in bells if bell.user_id is not None]
    BellEntry.objects.bulk_create(BellEntry(notification=notification, user_id=user) for user in users)
    for user in users:
        pokes.poke(bell_group(user))


def _mail_channels(notification: Notification, people: list[User]) -> list[Channel]:
    channels = _own_channels(notification, people, Medium.EMAIL)
    for channel in channels:
        if channel.pk is None:
            assert channel.user is not None
            kept, _ = Channel.objects.get_or_create(
                team_id=notification.team_id,
                user=channel.user,
                medium=Medium.EMAIL,
                defaults=_defaults(notification, Medium.EMAIL, channel.user),
            )
            channel.pk = kept.pk
    return channels


def _other_channels(notification: Notification) -> list[Channel]:
    """The webhooks, chats and team addresses that carry the notification."""
    others = ~Q(medium__in=(Medium.BELL, Medium.EMAIL)) | Q(medium=Medium.EMAIL, user=None)
    channels = Channel.objects.switched_on().filter(others, team=notification.team_id)
    return [channel for channel in channels if channel.carries(notification)]


def put_out(
    notification: Notification | None, channels: Iterable[Channel], *, at_once: bool = False, **fields: Any
) -> list[Delivery]:
    """Puts a message for each channel into the outbox, with further `fields` of the rows. What is not held back is sent
    on commit; with `at_once`, nothing is held back.
    """
    now = timezone.now()
    deliveries = []
    for channel in channels:
        due_at, held = (now, False) if at_once else hours_of(channel).due(now)
        sent = {"notification": notification, "due_at": due_at, "held": held, "asked_at": None if held else now}
        deliveries.append(Delivery(channel=channel, **sent, **fields))
    Delivery.objects.bulk_create(deliveries)
    for delivery in deliveries:
        if not delivery.held:
            transaction.on_commit(partial(messages.send, delivery.pk))
    return deliveries
