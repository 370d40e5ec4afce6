"""What members do with notifications: read them, choose channels, test, rotate, replay. Every change is audited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import EmailValidator
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.errors import TimeZoneUnknown
from apps.accounts.models import Role, Team, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.languages import within_a_sentence
from apps.live import pokes
from apps.notifications import addresses, chats, guard, kinds, mails, webhooks
from apps.notifications.errors import (
    AddressInvalid,
    AddressNotPublic,
    ChannelFixed,
    DeliveryWaiting,
    DigestUnsupported,
    KindUnknown,
    NoSecret,
    NothingToTest,
    QuietHoursIncomplete,
    TooManyChannels,
)
from apps.notifications.funnel import bell_group, put_out
from apps.notifications.models import (
    BOTH_SECRETS_FOR,
    BellEntry,
    Channel,
    Delivery,
    DeliveryStatus,
    Digest,
    Medium,
    defaults_of,
)
from apps.notifications.querysets import speaks_for_installation
from apps.zones import zones

MOST_CHANNELS = 20
"""How many channels a team may have, and each member in it."""
CHANGEABLE = (
    *("name", "address", "kinds", "mine_only", "enabled"),
    *("digest", "quiet_from", "quiet_until", "time_zone"),
)


# --- the bell --------------------------------------------------------------------------------------------------------


def mark_read(user: User, entries: Iterable[int] | None = None, *, unread: bool = False) -> int:
    """Marks the user's entries with these keys, or all, as read (or `unread`). Returns how many changed."""
    rows = BellEntry.objects.visible_to(user).filter(read_at__isnull=not unread)
    if entries is not None:
        rows = rows.filter(pk__in=list(entries))
    changed = rows.update(read_at=None if unread else timezone.now())
    if changed:
        pokes.poke(bell_group(user.pk))
    return changed


# --- channels --------------------------------------------------------------------------------------------------------


def own_channel(user: User, team: Team | None, medium: Medium) -> Channel:
    """The member's bell or e-mail channel about `team`, or about the installation. Made if they have none yet."""
    defaults = defaults_of(medium, user, installation=team is None)
    channel, _ = Channel.objects.get_or_create(user=user, team=team, medium=medium, defaults=defaults)
    return channel


def own_channels(user: User) -> None:
    """Makes the bell and e-mail channels that the user does not have yet: in each of their teams, and for an operator
    about the installation. A service account has none.
    """
    if user.is_service:
        return
    about_all = [None] if speaks_for_installation(user) else []
    for team in [*Team.objects.visible_to(user), *about_all]:
        for medium in (Medium.BELL, Medium.EMAIL):
            own_channel(user, team, medium)


def may_change(user: User, channel: Channel) -> bool:
    """Whether `user` may change the channel: their own, or the team's as an owner."""
    try:
        require_change(user, channel)
    except PermissionDenied:
        return False
    return True


def require_change(user: User, channel: Channel) -> None:
    """Raises `PermissionDenied` unless `user` may change the channel."""
    _require(user, channel.team, channel.user)


def _require(user: User, team: Team | None, owner: User | None) -> None:
    if owner is not None and owner.pk != user.pk:
        raise PermissionDenied(_("This channel belongs to another member."))
    if team is None:
        require_operator(user)
    else:
        require_role(user, team, Role.VIEWER if owner else Role.OWNER)


def require_operator(user: User) -> None:
    """Raises `PermissionDenied` unless `user` may have channels about the installation."""
    if not speaks_for_installation(user):
        raise PermissionDenied(_("Only operators have channels of the installation."))


@transaction.atomic
def add_channel(by: User, team: Team | None, medium: Medium, *, for_team: bool, **answers: Any) -> Channel:
    """Adds a webhook or chat for the member, or a webhook, chat or e-mail address for the team. Without `team` it is
    about the installation, and `for_team` means all operators.

    Raises `PermissionDenied` (a team's channels need an owner, the installation's an operator), `TooManyChannels`, and
    the errors of wrong answers.
    """
    owner = None if for_team else by
    _require(by, team, owner)
    if medium is Medium.BELL or (medium is Medium.EMAIL and owner is not None):
        raise ChannelFixed(field="medium")
    if Channel.objects.filter(team=team, user=owner).count() >= MOST_CHANNELS:
        raise TooManyChannels(most=MOST_CHANNELS)
    channel = Channel(team=team, user=owner, medium=medium, created_by=by)
    channel.kinds = list(kinds.preset(installation=team is None))
    if medium is Medium.WEBHOOK:
        channel.secret = webhooks.new_secret()
    _fill(channel, answers)
    channel.save()
    trail.record("channel.added", actor=by, team=team, subject=str(channel), data=_recorded(channel))
    return channel


@transaction.atomic
def change_channel(by: User, channel: Channel, **answers: Any) -> Channel:
    """Changes the given fields of the channel. Raises `PermissionDenied`, and the errors of wrong answers."""
    require_change(by, channel)
    row = _locked(channel)
    before = _recorded(row) | {"address": row.address}
    _fill(row, answers)
    row.save()
    after = _recorded(row) | {"address": row.address}
    changed: dict[str, Any] = {name: [before[name], value] for name, value in after.items() if before[name] != value}
    if "address" in changed:
        changed["address"] = []  # an address may hold a key, so the trail only says that it changed
    if changed:
        trail.record("channel.changed", actor=by, team=row.team, subject=str(row), data=changed)
    return row


@transaction.atomic
def remove_channel(by: User, channel: Channel) -> None:
    """Removes the channel, with its deliveries. Raises `PermissionDenied` and `ChannelFixed`."""
    require_change(by, channel)
    if channel.is_fixed:
        raise ChannelFixed
    # The trail first: who adds deliveries holds its lock already when they look at channels.
    trail.record("channel.removed", actor=by, team=channel.team, subject=str(channel))
    channel.delete()


@transaction.atomic
def rotate_secret(by: User, channel: Channel) -> Channel:
    """A new secret. For a day, messages are signed with the old one too. Raises `PermissionDenied` and `NoSecret`."""
    require_change(by, channel)
    row = _locked(channel)
    if row.medium != Medium.WEBHOOK:
        raise NoSecret
    row.previous_secret, row.secret = row.secret, webhooks.new_secret()
    row.previous_secret_until = timezone.now() + BOTH_SECRETS_FOR
    row.save(update_fields=["secret", "previous_secret", "previous_secret_until"])
    trail.record("channel.secret_rotated", actor=by, team=row.team, subject=str(row))
    return row


def _locked(channel: Channel) -> Channel:
    """The channel as it is now. The lock is weak enough that messages can be put out for it meanwhile: who does that
    holds the trail's lock, which every change here takes afterwards.
    """
    return Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)


def _recorded(channel: Channel) -> dict[str, Any]:
    """What the audit trail keeps of a channel: neither address nor secret."""
    times = {name: str(getattr(channel, name) or "") for name in ("quiet_from", "quiet_until")}
    plain = ("name", "kinds", "mine_only", "enabled", "digest", "time_zone")
    return {"medium": str(channel.medium), **{name: getattr(channel, name) for name in plain}, **times}


def _fill(channel: Channel, answers: Mapping[str, Any]) -> None:
    for name in CHANGEABLE:
        if name in answers:
            setattr(channel, name, answers[name])
    channel.kinds = [name for name in kinds.KINDS if name in _known_kinds(channel)]
    if channel.time_zone not in zones():
        raise TimeZoneUnknown(field="time_zone", zone=channel.time_zone)
    if (channel.quiet_from is None) != (channel.quiet_until is None):
        raise QuietHoursIncomplete(field="quiet_until" if channel.quiet_from else "quiet_from")
    if channel.digest != Digest.NONE and channel.medium in (Medium.WEBHOOK, Medium.BELL):
        raise DigestUnsupported(field="digest", medium=within_a_sentence(channel.get_medium_display()))
    if channel.user is None:
        channel.mine_only = False
    if not channel.is_fixed:
        _check_address(channel)


def _known_kinds(channel: Channel) -> list[str]:
    """The chosen kinds. Raises `KindUnknown` for one that the channel cannot carry."""
    for name in channel.kinds:
        if name not in channel.offered:
            raise KindUnknown(field="kinds", kind=name, kinds=", ".join(channel.offered))
    return list(channel.kinds)


def _check_address(channel: Channel) -> None:
    """Raises an error if a message can never arrive at the channel's address."""
    if channel.medium == Medium.EMAIL:
        try:
            EmailValidator()(channel.address)
        except ValidationError:
            raise AddressInvalid(field="address", reason=_("it is not an e-mail address")) from None
    elif channel.medium == Medium.CHAT:
        chats.check(channel.address)
    else:
        target = addresses.read(channel.address)
        ip = addresses.literal(target.host)
        if ip is not None and not addresses.may_reach(str(ip), guard.listed()):
            raise AddressNotPublic(field="address", host=target.host)


# --- deliveries ------------------------------------------------------------------------------------------------------


@transaction.atomic
def test_channel(by: User, channel: Channel) -> Delivery:
    """Sends a test message. Raises `PermissionDenied`, `NothingToTest`, and `DeliveryWaiting` while one waits."""
    require_change(by, channel)
    if channel.medium == Medium.BELL:
        raise NothingToTest
    row = _locked(channel)
    if row.deliveries.filter(notification=None, status=DeliveryStatus.WAITING).exists():
        raise DeliveryWaiting
    (delivery,) = put_out(None, [row], at_once=True)
    trail.record("channel.tested", actor=by, team=row.team, subject=str(row))
    return delivery


@transaction.atomic
def replay(by: User, delivery: Delivery) -> Delivery:
    """Sends a message again, with the same id. Raises `PermissionDenied`, and `DeliveryWaiting` while it waits."""
    require_change(by, delivery.channel)
    channel = _locked(delivery.channel)
    same = channel.deliveries.filter(message_id=delivery.message_id)
    if same.filter(status=DeliveryStatus.WAITING).exists():
        raise DeliveryWaiting
    again = put_out(delivery.notification, [channel], at_once=True, message_id=delivery.message_id, replays=delivery)[0]
    trail.record("notification.replayed", actor=by, team=channel.team, subject=str(channel), reason=delivery.subject)
    return again


@transaction.atomic
def unsubscribe(token: str) -> tuple[Channel, list[str]]:
    """Switches off the kinds of a mail's link. Raises `UnsubscribeUnusable`."""
    named, names = mails.read_token(token)
    channel = _locked(named)
    kept = [name for name in channel.kinds if name not in names]
    if kept != channel.kinds:
        before, channel.kinds = channel.kinds, kept
        channel.save(update_fields=["kinds"])
        trail.record(
            "channel.unsubscribed",
            actor=channel.user,
            team=channel.team,
            subject=str(channel),
            data={"kinds": [before, kept]},
        )
    return channel, names
