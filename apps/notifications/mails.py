"""Notifications by e-mail: plain text and HTML, with one-click unsubscribing (RFC 8058)."""

from __future__ import annotations

from collections.abc import Sequence
from smtplib import SMTPException

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from apps.languages import language_of
from apps.notifications import failures, kinds
from apps.notifications.errors import UnsubscribeUnusable
from apps.notifications.models import Channel, Delivery
from apps.notifications.sending import Failed
from apps.zones import zone_of

SALT = "lathe.notifications.unsubscribe"


def unsubscribe_token(channel: Channel, names: Sequence[str]) -> str:
    """What switches off the kinds `names` in `channel`, for whoever has the mail."""
    return signing.dumps([channel.pk, sorted(names)], salt=SALT)


def read_token(token: str) -> tuple[Channel, list[str]]:
    """The channel and the kinds of an unsubscribe link. Raises `UnsubscribeUnusable`."""
    try:
        pk, names = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        raise UnsubscribeUnusable from None
    channel = Channel.objects.filter(pk=pk).first()
    if channel is None:
        raise UnsubscribeUnusable
    return channel, [name for name in names if name in kinds.KINDS]


def _unsubscribe_url(channel: Channel, names: Sequence[str]) -> str:
    return f"{settings.LATHE.base_url}/notifications/unsubscribe/{unsubscribe_token(channel, names)}/"


def message_of(channel: Channel, deliveries: Sequence[Delivery]) -> EmailMultiAlternatives:
    """The mail that carries these deliveries."""
    notifications = [delivery.notification for delivery in deliveries if delivery.notification]
    names = list(dict.fromkeys(one.kind for one in notifications))
    links = [(kinds.KINDS[name].label, _unsubscribe_url(channel, [name])) for name in names if name in kinds.KINDS]
    context = {
        "channel": channel,
        "notifications": notifications,
        "links": links,
        "settings_url": f"{settings.LATHE.base_url}{channel.settings_path}",
        "base_url": settings.LATHE.base_url,
    }
    reader = channel.user or channel
    with timezone.override(zone_of(reader)), translation.override(language_of(reader)):
        subject = _subject(channel, deliveries)
        text, page = (render_to_string(f"notifications/email/message.{kind}", context) for kind in ("txt", "html"))
    message = EmailMultiAlternatives(
        subject=" ".join(f"{settings.EMAIL_SUBJECT_PREFIX}{subject}".split()),
        body=text,
        to=[channel.recipient],
        headers=_headers(channel, deliveries, names),
    )
    message.attach_alternative(page, "text/html")
    return message


def _subject(channel: Channel, deliveries: Sequence[Delivery]) -> str:
    if len(deliveries) == 1:
        return deliveries[0].headline
    several = _("{count} notifications from {team}")
    return several.format(count=len(deliveries), team=channel.team or _("this installation"))


def _headers(channel: Channel, deliveries: Sequence[Delivery], names: Sequence[str]) -> dict[str, str]:
    host = settings.LATHE.base_url.partition("://")[2].partition("/")[0].partition(":")[0]
    headers = {
        # The same on every attempt, so that a mail program shows a repetition once.
        "Message-ID": f"<{deliveries[0].message_id.hex}.{len(deliveries)}@{host}>",
        "Auto-Submitted": "auto-generated",
    }
    if names:
        headers["List-Unsubscribe"] = f"<{_unsubscribe_url(channel, names)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def send(channel: Channel, deliveries: Sequence[Delivery]) -> None:
    """Sends the deliveries in one mail. Raises `Failed`."""
    try:
        message_of(channel, deliveries).send()
    except (SMTPException, OSError) as error:
        raise Failed(failures.NO_MAIL.format(reason=type(error).__name__)) from error
