"""Filters of the API's lists."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, QuerySet
from django_filters import rest_framework as filters

from apps.notifications import kinds
from apps.notifications.models import BellEntry, Channel, Delivery, DeliveryStatus, Medium

LARGEST = BigIntegerField.MAX_BIGINT


class NotificationFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="notification__team__slug", help_text="A team's slug.")
    kind = filters.ChoiceFilter(field_name="notification__kind", choices=kinds.CHOICES)
    unread = filters.BooleanFilter(method="by_unread", help_text="`true` for what is not read yet.")

    class Meta:
        model = BellEntry
        fields = ()

    def by_unread(self, queryset: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        return queryset.filter(read_at__isnull=value)


class ChannelFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="team__slug", help_text="A team's slug.")
    installation = filters.BooleanFilter(
        field_name="team", lookup_expr="isnull", help_text="`true` for channels about the installation."
    )
    medium = filters.ChoiceFilter(choices=Medium.choices)

    class Meta:
        model = Channel
        fields = ("enabled",)


class DeliveryFilter(filters.FilterSet):
    team = filters.CharFilter(field_name="channel__team__slug", help_text="A team's slug.")
    channel = filters.NumberFilter(
        field_name="channel_id", min_value=-LARGEST, max_value=LARGEST, help_text="A channel's id."
    )
    installation = filters.BooleanFilter(
        field_name="channel__team", lookup_expr="isnull", help_text="`true` for channels about the installation."
    )
    status = filters.ChoiceFilter(choices=DeliveryStatus.choices)

    class Meta:
        model = Delivery
        fields = ()
