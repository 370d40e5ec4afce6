"""The API for what belongs to named criteria: what a version changed, and the defaults."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.requests import member
from apps.accounts.teams import team_for
from apps.api import answers, example
from apps.models.serializers import TeamChoice
from apps.optimization.criteria_diff import Comparison, compared
from apps.optimization.default_criteria import Defaults, defaults_of, set_default
from apps.optimization.models import CriteriaSet
from apps.optimization.serializers import CriteriaSetSerializer

LONGEST_ID = 18
"""In digits: more than any id has, and few enough for a database."""
TEAM = OpenApiParameter("team", str, description="The team's slug. Optional for members of a single team.")


class DefaultsSerializer(serializers.Serializer[Any]):
    """`used` is what a session starts with if its request names no criteria: the member's default before the team's."""

    team = CriteriaSetSerializer(allow_null=True)
    member = CriteriaSetSerializer(allow_null=True)
    used = CriteriaSetSerializer(allow_null=True)
    sentence = serializers.CharField(help_text="Which default takes precedence; empty without any.")


class DefaultsChangeSerializer(TeamChoice):
    """Ids of current versions, or null to remove a default. What is left out stays unchanged."""

    team_default = serializers.IntegerField(required=False, allow_null=True, help_text="Set by owners.")
    member_default = serializers.IntegerField(required=False, allow_null=True, help_text="Your own in this team.")


@extend_schema(tags=["criteria"])
class DefaultCriteriaView(APIView):
    """The criteria of sessions whose request names none."""

    @extend_schema(summary="Read the default criteria", parameters=[TEAM], responses=DefaultsSerializer)
    def get(self, request: Request) -> Response:
        team = team_for(member(request), request.query_params.get("team"))
        return Response(self._shown(defaults_of(member(request), team)))

    @extend_schema(
        summary="Set the default criteria",
        request=DefaultsChangeSerializer,
        responses=DefaultsSerializer,
        examples=[
            example("The team's", {"team_default": 2}),
            example("No default of your own", {"member_default": None}),
        ],
    )
    def patch(self, request: Request) -> Response:
        """A session freezes the criteria it starts with, so a change affects new sessions only."""
        asked, user = answers(DefaultsChangeSerializer, request), member(request)
        team = team_for(user, asked.get("team"))
        for name, personal in (("team_default", False), ("member_default", True)):
            if name in asked:
                set_default(team, self._row(asked[name]), user=user, personal=personal)
        return Response(self._shown(defaults_of(user, team)))

    def _row(self, pk: int | None) -> CriteriaSet | None:
        return None if pk is None else get_object_or_404(CriteriaSet.objects.visible_to(self.request.user), pk=pk)

    @staticmethod
    def _shown(defaults: Defaults) -> dict[str, Any]:
        return dict(DefaultsSerializer(defaults).data)


def compared_since(newer: CriteriaSet, visible: QuerySet[CriteriaSet], since: str | None) -> Comparison:
    """`newer` beside the version with the id `since`, by default the one before of the same name.

    Raises `Http404` for an id that is not `visible`.
    """
    if since is not None:
        if not since.isdecimal() or len(since) > LONGEST_ID:
            raise Http404
        return compared(get_object_or_404(visible, pk=int(since)), newer)
    same = visible.filter(team=newer.team, name=newer.name, version__lt=newer.version)
    return compared(same.order_by("-version").first(), newer)
