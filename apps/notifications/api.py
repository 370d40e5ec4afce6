"""The API for notifications, channels and deliveries. Each method calls the same service as the pages."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.accounts.teams import team_for
from apps.api import SecretResponse, example, validated_body
from apps.notifications import services
from apps.notifications.columns import LIST_OF_DELIVERIES, LIST_OF_NOTIFICATIONS
from apps.notifications.filters import ChannelFilter, DeliveryFilter, NotificationFilter
from apps.notifications.models import BellEntry, Channel, Delivery, Medium
from apps.notifications.serializers import (
    ChangedSerializer,
    ChannelChangeSerializer,
    ChannelSerializer,
    DeliverySerializer,
    NewChannelSerializer,
    NotificationSerializer,
    SecretSerializer,
)

WEBHOOK = {
    "medium": "webhook",
    "name": "Build server",
    "address": "https://hooks.example.org/lathe",
    "kinds": ["session.finished", "session.failed"],
}


@extend_schema(tags=["notifications"])
@extend_schema_view(
    read=extend_schema(request=None, responses=NotificationSerializer),
    unread=extend_schema(request=None, responses=NotificationSerializer),
    read_all=extend_schema(request=None, responses=ChangedSerializer),
)
class NotificationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[BellEntry]):
    """What is in your bell, newest first."""

    serializer_class = NotificationSerializer
    queryset = BellEntry.objects.all()
    filterset_class = NotificationFilter
    listing = LIST_OF_NOTIFICATIONS
    ordering_fields = ("id",)

    def get_queryset(self) -> QuerySet[BellEntry]:
        return BellEntry.objects.visible_to(self.request.user).select_related("notification__team")

    @action(detail=True, methods=["post"])
    def read(self, request: Request, pk: str) -> Response:
        """Mark a notification as read"""
        return self._marked(request, unread=False)

    @action(detail=True, methods=["post"])
    def unread(self, request: Request, pk: str) -> Response:
        """Mark a notification as unread"""
        return self._marked(request, unread=True)

    def _marked(self, request: Request, *, unread: bool) -> Response:
        entry = self.get_object()
        services.mark_read(member(request), [entry.pk], unread=unread)
        entry.refresh_from_db()
        return Response(self.get_serializer(entry).data)

    @action(detail=False, methods=["post"], url_path="read-all")
    def read_all(self, request: Request) -> Response:
        """Mark all notifications as read"""
        return Response({"changed": services.mark_read(member(request))})


@extend_schema(tags=["notifications"])
@extend_schema_view(
    create=extend_schema(
        summary="Add a notification channel",
        request=NewChannelSerializer,
        responses={201: SecretSerializer},
        examples=[
            example("A webhook of one's own", WEBHOOK),
            example(
                "An e-mail address of the team",
                {
                    "for_team": True,
                    "medium": "email",
                    "name": "The list",
                    "address": "vision@example.org",
                    "digest": "daily",
                    "time_zone": "UTC",
                },
            ),
            example("A webhook of an operator, about the installation", WEBHOOK | {"kinds": [], "installation": True}),
        ],
    ),
    partial_update=extend_schema(
        summary="Change a notification channel",
        request=ChannelChangeSerializer,
        responses=ChannelSerializer,
        examples=[
            example("Quiet at night", {"quiet_from": "22:00", "quiet_until": "07:00"}),
            example("Failures only", {"kinds": ["session.failed"]}),
        ],
    ),
    destroy=extend_schema(summary="Remove a notification channel"),
    test=extend_schema(request=None, responses={201: DeliverySerializer}),
    rotate_secret=extend_schema(request=None, responses=SecretSerializer),
)
class ChannelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Channel]):
    """Where you and your teams are told of things: your bell and e-mail, webhooks, chats."""

    serializer_class = ChannelSerializer
    queryset = Channel.objects.all()
    filterset_class = ChannelFilter
    ordering_fields = ("id", "name")

    def get_queryset(self) -> QuerySet[Channel]:
        return Channel.objects.visible_to(self.request.user).select_related("team", "user")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        services.own_channels(member(request))
        return super().list(request, *args, **kwargs)

    def create(self, request: Request) -> Response:
        asked = validated_body(NewChannelSerializer, request)
        slug = asked.pop("team", None)
        team = None if asked.pop("installation") else team_for(member(request), slug)
        channel = services.add_channel(member(request), team, Medium(asked.pop("medium")), **asked)
        return SecretResponse(self._with_secret(channel), status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        channel = self.get_object()
        services.require_change(member(request), channel)
        changed = services.change_channel(member(request), channel, **validated_body(ChannelChangeSerializer, request))
        return Response(self.get_serializer(changed).data)

    def destroy(self, request: Request, pk: str) -> Response:
        services.remove_channel(member(request), self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Send a test message. It is tried once; `notification-deliveries` has its result."""
        delivery = services.test_channel(member(request), self.get_object())
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_201_CREATED)

    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """Rotate the secret of a webhook. For a day, messages are signed with the old one too."""
        return SecretResponse(self._with_secret(services.rotate_secret(member(request), self.get_object())))

    def _with_secret(self, channel: Channel) -> dict[str, object]:
        return dict(SecretSerializer(channel, context=self.get_serializer_context()).data)


@extend_schema(tags=["notifications"])
@extend_schema_view(replay=extend_schema(request=None, responses={201: DeliverySerializer}))
class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Delivery]):
    """What was sent to your channels and your teams', newest first, with each attempt."""

    serializer_class = DeliverySerializer
    queryset = Delivery.objects.all()
    filterset_class = DeliveryFilter
    listing = LIST_OF_DELIVERIES
    ordering_fields = ("id",)

    def get_queryset(self) -> QuerySet[Delivery]:
        rows = Delivery.objects.visible_to(self.request.user).select_related("channel__team", "notification")
        return rows.prefetch_related("attempts")

    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Send a message again, with the same id"""
        delivery = services.replay(member(request), self.get_object())
        return Response(self.get_serializer(delivery).data, status=status.HTTP_201_CREATED)


routes = [
    ("notifications", NotificationViewSet, "notification"),
    ("notification-channels", ChannelViewSet, "notification-channel"),
    ("notification-deliveries", DeliveryViewSet, "notification-delivery"),
]
