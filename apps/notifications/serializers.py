"""Notifications, channels and deliveries in API responses, and the bodies of API requests."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.notifications import kinds
from apps.notifications.models import LONGEST_ADDRESS, Attempt, BellEntry, Channel, Delivery, Digest, Medium
from apps.notifications.services import may_change

ADDABLE = [one for one in Medium.choices if one[0] != Medium.BELL]


@extend_schema_field({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$", "example": "22:00"})
class ClockField(serializers.TimeField):
    """A time by the channel's clock, such as `22:00`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format="%H:%M", input_formats=["%H:%M"], allow_null=True, **options)


class NotificationSerializer(serializers.ModelSerializer[BellEntry]):
    """`data` has what a program needs, such as the id of the session; `url` leads to the page."""

    team: Any = serializers.SlugRelatedField(
        slug_field="slug", source="notification.team", read_only=True, allow_null=True
    )
    kind = serializers.ChoiceField(choices=kinds.CHOICES, source="notification.kind", read_only=True)
    title = serializers.CharField(source="notification.title", read_only=True)
    text = serializers.CharField(source="notification.text", read_only=True)
    url = serializers.CharField(source="notification.url", read_only=True, help_text="Empty if there is no page.")
    data = serializers.DictField(source="notification.data", read_only=True)  # type: ignore[assignment]  # DRF takes it off
    created_at = serializers.DateTimeField(source="notification.created_at", read_only=True)

    class Meta:
        model = BellEntry
        fields = ("id", "team", "kind", "title", "text", "url", "data", "created_at", "read_at")
        read_only_fields = fields


class ChangedSerializer(serializers.Serializer[Any]):
    changed = serializers.IntegerField(help_text="How many notifications were unread and now are not.")


class ChannelSerializer(serializers.ModelSerializer[Channel]):
    """A member's own channel, or with `for_team` one of the team; without `team`, about the installation. `address` is
    null for those who may not change the channel, because it may hold a key.
    """

    team: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    for_team = serializers.SerializerMethodField()
    address = serializers.SerializerMethodField()
    kinds = serializers.ListField(child=serializers.ChoiceField(choices=kinds.CHOICES), read_only=True)
    quiet_from = ClockField(read_only=True)
    quiet_until = ClockField(read_only=True)

    class Meta:
        model = Channel
        fields = (
            *("id", "team", "for_team", "medium", "name", "address", "kinds", "mine_only", "enabled"),
            *("digest", "quiet_from", "quiet_until", "time_zone", "created_at"),
        )
        read_only_fields = fields

    def get_for_team(self, channel: Channel) -> bool:
        return channel.user_id is None

    def get_address(self, channel: Channel) -> str | None:
        return channel.address if may_change(self.context["request"].user, channel) else None


class SecretSerializer(ChannelSerializer):
    """The channel with its secret; null if it is not a webhook. Only adding it and rotating the secret return this."""

    secret = serializers.SerializerMethodField()

    class Meta:
        model = Channel
        fields = (*ChannelSerializer.Meta.fields, "secret")
        read_only_fields = fields

    def get_secret(self, channel: Channel) -> str | None:
        return channel.secret or None


class ChannelChangeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80, required=False)
    address = serializers.CharField(max_length=LONGEST_ADDRESS, required=False)
    kinds = serializers.ListField(child=serializers.CharField(max_length=40), required=False)
    mine_only = serializers.BooleanField(required=False)
    enabled = serializers.BooleanField(required=False)
    digest = serializers.ChoiceField(choices=Digest.choices, required=False)
    quiet_from = ClockField(required=False)
    quiet_until = ClockField(required=False)
    time_zone = serializers.CharField(max_length=60, required=False)


class NewChannelSerializer(ChannelChangeSerializer):
    team = serializers.SlugField(required=False, help_text="The team's slug. Optional for members of a single team.")
    for_team = serializers.BooleanField(
        required=False, default=False, help_text="Whether it is the team's. Only owners add those."
    )
    installation = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Whether it is about the installation, and no team. Only operators add those; with `for_team`, it is "
        "all operators'.",
    )
    medium = serializers.ChoiceField(choices=ADDABLE)
    name = serializers.CharField(max_length=80)
    address = serializers.CharField(max_length=LONGEST_ADDRESS)


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    class Meta:
        model = Attempt
        fields = ("at", "took_ms", "status", "error")
        read_only_fields = fields


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """A message to a channel. `notification` is null for a test; `replays` is the delivery that this one repeats."""

    channel = serializers.IntegerField(source="channel_id", read_only=True)
    notification = serializers.IntegerField(source="notification_id", read_only=True, allow_null=True)
    replays = serializers.IntegerField(source="replays_id", read_only=True, allow_null=True)
    attempts = AttemptSerializer(many=True, read_only=True)

    class Meta:
        model = Delivery
        fields = (
            *("id", "channel", "notification", "subject", "message_id", "replays", "status", "held", "due_at"),
            *("tries", "error", "created_at", "ended_at", "attempts"),
        )
        read_only_fields = fields
