"""The columns of deliveries in a CSV file."""

from __future__ import annotations

from apps.notifications.models import Delivery
from apps.tables import Columns

DELIVERIES: Columns[Delivery] = {
    "id": lambda delivery: delivery.pk,
    "channel": lambda delivery: delivery.channel,
    "kind": lambda delivery: delivery.notification.kind if delivery.notification else None,
    "title": lambda delivery: delivery.notification.title if delivery.notification else None,
    "status": lambda delivery: delivery.status,
    "tries": lambda delivery: delivery.tries,
    "ended_at": lambda delivery: delivery.ended_at,
}
