"""The API's action on several sessions at once."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.bulk_api import bulk_answer
from apps.api import example
from apps.bulk import MOST, BulkOutcomes
from apps.optimization import services
from apps.optimization.models import OptimizationSession


class SessionBulkSerializer(serializers.Serializer[Any]):
    """What to do to which sessions."""

    act = serializers.ChoiceField(choices=tuple(services.SESSION_ACTS))
    sessions = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST)


class BulkSessions(viewsets.GenericViewSet[OptimizationSession]):
    """Adds the action to the sessions' routes."""

    @extend_schema(
        summary="Cancel, resume or delete several sessions",
        request=SessionBulkSerializer,
        responses=BulkOutcomes,
        examples=[example("Resume", {"act": "resume", "sessions": ["0b2c6f1e-5f0a-4a4e-9f59-0d8c8ad9e0c1"]})],
    )
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Each session is handled by itself: one that cannot be does not hold up the others."""
        return bulk_answer(request, self.get_queryset(), services.SESSION_ACTS, SessionBulkSerializer, "sessions")
