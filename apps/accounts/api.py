"""The API for teams and the current user. `api_people` and `api_automation` have the rest of this app."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts import services
from apps.accounts.api_automation import routes as automation_routes
from apps.accounts.api_lists import list_routes
from apps.accounts.api_people import routes as people_routes
from apps.accounts.models import Membership, Team
from apps.accounts.requests import member
from apps.accounts.serializers import MeChangeSerializer, MeSerializer, TeamSerializer
from apps.api import example, validated_body


@extend_schema(tags=["teams"])
class TeamViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Team]):
    """The teams that you are a member of, with their members."""

    serializer_class = TeamSerializer
    queryset = Team.objects.all()
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Team]:
        return Team.objects.visible_to(self.request.user).prefetch_related(
            Prefetch("memberships", Membership.objects.people())
        )


class MeView(APIView):
    """The account behind the token or the browser's session."""

    @extend_schema(tags=["teams"], responses=MeSerializer)
    def get(self, request: Request) -> Response:
        return Response(MeSerializer(member(request)).data)

    @extend_schema(
        tags=["teams"],
        request=MeChangeSerializer,
        responses=MeSerializer,
        examples=[example("In Berlin", {"time_zone": "Europe/Berlin", "language": "de"})],
    )
    def patch(self, request: Request) -> Response:
        asked = validated_body(MeChangeSerializer, request)
        with transaction.atomic():
            if "time_zone" in asked:
                services.choose_time_zone(member(request), asked["time_zone"])
            if "language" in asked:
                services.choose_language(member(request), asked["language"])
        return Response(MeSerializer(member(request)).data)


routes = [("teams", TeamViewSet, "team"), *people_routes, *automation_routes, *list_routes]
