"""The columns of notifications and deliveries, in lists and CSV files."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.listings import Column, Kind, Listing, offer
from apps.notifications.models import BellEntry, Delivery
from apps.tables import Columns

NOTIFICATIONS: Columns[BellEntry] = {
    "id": lambda entry: entry.pk,
    "kind": lambda entry: entry.notification.kind,
    "title": lambda entry: entry.notification.title,
    "text": lambda entry: entry.notification.text,
    "team": lambda entry: entry.notification.team,
    "created_at": lambda entry: entry.notification.created_at,
    "read_at": lambda entry: entry.read_at,
}
DELIVERIES: Columns[Delivery] = {
    "id": lambda delivery: delivery.pk,
    "channel": lambda delivery: delivery.channel,
    "kind": lambda delivery: delivery.notification.kind if delivery.notification else None,
    "title": lambda delivery: delivery.notification.title if delivery.notification else None,
    "status": lambda delivery: delivery.status,
    "tries": lambda delivery: delivery.tries,
    "ended_at": lambda delivery: delivery.ended_at,
}

LIST_OF_NOTIFICATIONS = offer(
    Listing(
        "notifications",
        "notifications:list",
        "notifications",
        (
            Column("notification", _("Notification")),
            Column("kind", _("Kind"), ordering="kind", by=("notification__kind",)),
            Column("team", _("Team"), ordering="team", by=("notification__team__name",)),
            # In the order in which they were written, which is that of an index.
            Column("when", _("When"), ordering="created_at", by=("notification_id",), kind=Kind.TIME),
        ),
        usual="-created_at",
    )
)
LIST_OF_DELIVERIES = offer(
    Listing(
        "deliveries",
        "notifications:deliveries",
        "deliveries",
        (
            Column("message", _("Message")),
            Column("channel", _("Channel"), ordering="channel", by=("channel__name",)),
            Column("created", _("Created"), ordering="created_at", by=("pk",), kind=Kind.TIME),
            Column("result", _("Result"), ordering="status"),
            Column("attempts", _("Attempts"), ordering="tries", kind=Kind.NUMBER),
        ),
        usual="-created_at",
    )
)
