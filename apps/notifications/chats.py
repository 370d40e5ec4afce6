"""Chats and push services, through Apprise (https://github.com/caronc/apprise).

Apprise knows many more addresses than members may use: programs on this machine, files, mail and plain HTTP. So only
the services below are allowed, with TLS. Several run on hosts of the member's own (Matrix, Mattermost …), so the list
is not enough: each connection is also checked where it is made (`apps.notifications.guard`), and redirects are off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.utils.translation import gettext as _

from apps.notifications import failures, guard
from apps.notifications.errors import ServiceUnknown
from apps.notifications.models import Channel, Delivery
from apps.notifications.sending import Failed

SERVICES = {
    "slack": "Slack",
    "workflows": "Microsoft Teams",
    "matrixs": "Matrix",
    "discord": "Discord",
    "tgram": "Telegram",
    "mmosts": "Mattermost",
    "rockets": "Rocket.Chat",
    "zulip": "Zulip",
    "gchat": "Google Chat",
    "webex": "Webex",
    "nctalks": "Nextcloud Talk",
    "gotifys": "Gotify",
    "ntfys": "ntfy",
    "pover": "Pushover",
}
"""The services by the beginning of their address, each of which speaks TLS only."""
PAGES = ("http", "https")
"""Addresses as the services' own pages show them. Apprise recognizes those of Slack, Discord, Teams and others."""
OF_FILES = ("template", "attach", "config", "include")
"""Parameters by which Apprise reads a file of this machine."""
ANSWER_S = 10.0


def check(address: str) -> None:
    """Raises `ServiceUnknown` unless Apprise can send to `address` and members may."""
    with guard.guarded():
        _service(address)


def shown(address: str) -> str:
    """The address without its keys."""
    with guard.guarded():
        return str(_service(address).url(privacy=True)).partition("?")[0]


def send(channel: Channel, deliveries: Sequence[Delivery]) -> None:
    """Sends the deliveries in one message. Raises `Failed`."""
    title, text = _words(deliveries)
    try:
        with guard.guarded():
            taken = _service(channel.address).notify(title=title, body=text, body_format="text")
    except ServiceUnknown as error:
        raise Failed(error.message, final=True) from error
    except guard.NotPublic as error:
        raise Failed(str(error)) from error
    except TimeoutError as error:
        raise Failed(failures.NO_ANSWER.format(seconds=f"{guard.MOST_S:g}")) from error
    except guard.TooLong as error:
        raise Failed(failures.TOO_LONG) from error
    if not taken:
        raise Failed(failures.NOT_TAKEN)


def _words(deliveries: Sequence[Delivery]) -> tuple[str, str]:
    notifications = [delivery.notification for delivery in deliveries if delivery.notification]
    if not notifications:
        return "Lathe", "This is a test message. The channel works."
    parts = ["\n".join(part for part in (one.title, one.text, one.url) if part) for one in notifications]
    if len(notifications) > 1:
        return f"{len(notifications)} notifications from {notifications[0].team or 'Lathe'}", "\n\n".join(parts)
    only = notifications[0]
    return only.title, "\n".join(part for part in (only.text, only.url) if part) or settings.LATHE.base_url


def _service(address: str) -> Any:
    """Apprise's object for the address. Raises `ServiceUnknown`."""
    from apprise import Apprise  # slow to import, and only needed here

    scheme = address.partition("://")[0].lower()
    # Apprise's parameters begin at the first “?”, even behind a “#”.
    names = {name.strip().lstrip("+-:").lower() for name, _value in parse_qsl(address.partition("?")[2])}
    if scheme not in (*SERVICES, *PAGES):
        raise _unknown(_("it begins with no service that Lathe knows"))
    if used := sorted(names & set(OF_FILES)):
        raise _unknown(_("it has the parameter “{name}”, which reads files").format(name=used[0]))
    service = Apprise.instantiate(address, suppress_exceptions=True)
    if service is None:
        raise _unknown(_("it is incomplete, or a part of it has the wrong form"))
    if getattr(service, "template", None):
        raise _unknown(_("it names a template, which is a file"))
    protocols = service.secure_protocol if isinstance(service.secure_protocol, tuple) else (service.secure_protocol,)
    if not set(protocols) & set(SERVICES):
        raise _unknown(_("it belongs to no service that Lathe knows"))
    service.redirects, service.verify_certificate = False, True
    service.socket_connect_timeout = service.socket_read_timeout = ANSWER_S
    return service


def _unknown(reason: str) -> ServiceUnknown:
    names = ", ".join(f"{name} ({scheme}://)" for scheme, name in SERVICES.items())
    return ServiceUnknown(field="address", reason=reason, services=names)
