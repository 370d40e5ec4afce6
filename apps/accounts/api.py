"""The API for teams and the current user. Inviting members and creating tokens is possible only on pages."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts import services
from apps.accounts.models import Team
from apps.accounts.requests import member
from apps.accounts.serializers import MeSerializer, TeamSerializer, TimeZoneSerializer


@extend_schema(tags=["teams"])
class TeamViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Team]):
    """The teams that you are a member of, with their members."""

    serializer_class = TeamSerializer
    queryset = Team.objects.all()
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Team]:
        return Team.objects.visible_to(self.request.user).prefetch_related("memberships__user")


class MeView(APIView):
    """The account behind the token or the browser's session."""

    @extend_schema(tags=["teams"], responses=MeSerializer)
    def get(self, request: Request) -> Response:
        return Response(MeSerializer(member(request)).data)

    @extend_schema(
        tags=["teams"],
        request=TimeZoneSerializer,
        responses=MeSerializer,
        examples=[OpenApiExample("In Berlin", {"time_zone": "Europe/Berlin"}, request_only=True)],
    )
    def patch(self, request: Request) -> Response:
        asked = TimeZoneSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.choose_time_zone(member(request), asked.validated_data["time_zone"])
        return Response(MeSerializer(member(request)).data)


routes = [("teams", TeamViewSet, "team")]
