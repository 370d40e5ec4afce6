"""The present state of the outbox, as metrics."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.notifications.models import Delivery, DeliveryStatus


def metrics() -> Iterator[Metric]:
    now = timezone.now()
    waiting = Delivery.objects.filter(status=DeliveryStatus.WAITING, due_at__lte=now).order_by()
    found = waiting.aggregate(messages=Count("pk"), since=Min("due_at"))
    yield GaugeMetricFamily(
        "lathe_notifications_due", "Messages to channels that are due and not yet delivered.", value=found["messages"]
    )
    yield GaugeMetricFamily(
        "lathe_notifications_oldest_due_age_seconds",
        "Seconds since the message was due that has been due longest; 0 if none is.",
        value=(now - found["since"]).total_seconds() if found["since"] else 0,
    )
