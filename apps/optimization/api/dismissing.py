"""The API for what a member dismisses from the dashboard."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.api import example, row_of, validated_body
from apps.optimization import services


class DismissalSerializer(serializers.Serializer[Any]):
    """One item: the id of a session, of a version, of a data set or of an alias request."""

    session = serializers.UUIDField(required=False)
    version = serializers.IntegerField(required=False, min_value=1)
    dataset = serializers.IntegerField(required=False, min_value=1)
    alias_request = serializers.IntegerField(required=False, min_value=1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError(_("Name one item: a session, version, dataset or alias_request."))
        return attrs


@extend_schema(tags=["sessions"])
class DismissalViewSet(viewsets.ViewSet):
    """What needs no attention any more, for the member who says so."""

    @extend_schema(
        summary="Dismiss an item that needs attention",
        request=DismissalSerializer,
        responses={204: None},
        examples=[
            example("A session", {"session": "0b2c6f1e-5f0a-4a4e-9f59-0d8c8ad9e0c1"}),
            example("A refused version", {"version": 7}),
        ],
    )
    def create(self, request: Request) -> Response:
        """Takes it off your dashboard, and no one else's. It comes back if something new happens to it."""
        ((field, pk),) = validated_body(DismissalSerializer, request).items()
        user = member(request)
        rows = services.DISMISSIBLE[field].objects.visible_to(user)
        services.dismiss(user, row_of(rows, field, pk))
        return Response(status=status.HTTP_204_NO_CONTENT)
