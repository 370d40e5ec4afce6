"""The API for criteria: named ones, what each version changed, conflicts, and the defaults."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.requests import member
from apps.accounts.teams import team_for
from apps.agents.contracts.criteria import merged
from apps.api import example, row_of, validated_body
from apps.models.filters import id_of
from apps.optimization import criteria as criteria_service
from apps.optimization import services
from apps.optimization.api.rows import EXAMPLE_QUESTION, named_rows
from apps.optimization.columns import LIST_OF_CRITERIA
from apps.optimization.criteria_diff import Comparison, compared
from apps.optimization.default_criteria import Defaults, defaults_of, named_or_default, precedence, set_default
from apps.optimization.filters import CriteriaFilter
from apps.optimization.models import CriteriaSet
from apps.optimization.serializers_criteria import (
    EXAMPLE_CRITERIA,
    CriteriaChangeSerializer,
    CriteriaCheckSerializer,
    CriteriaResolutionSerializer,
    CriteriaSetSerializer,
    DefaultsChangeSerializer,
    DefaultsSerializer,
    NewCriteriaSerializer,
)

CONTRADICTORY = {"allowed_techniques": ["onnx-static-int8"], "forbidden_techniques": ["onnx-static-int8"]}
RESOLUTION = "technique_forbidden/onnx-static-int8/permit"
TEAM = OpenApiParameter("team", str, description="The team's slug. Optional for members of a single team.")


@extend_schema(tags=["criteria"])
@extend_schema_view(
    retrieve=extend_schema(summary="Read one version of criteria"),
    create=extend_schema(
        summary="Create criteria",
        request=NewCriteriaSerializer,
        responses={201: CriteriaSetSerializer},
        examples=[
            example(
                "1.5 times as fast, at most one point lost",
                {"name": "Edge boxes", "description": "What the gateways need", "body": EXAMPLE_CRITERIA},
            )
        ],
    ),
    check=extend_schema(
        summary="Check criteria for conflicts",
        request=CriteriaCheckSerializer,
        responses=services.CriteriaCheck,
        examples=[
            example("Against a model and a data set", {**EXAMPLE_QUESTION, "overrides": {"objective": "latency"}}),
            example("With a resolution applied", {"criteria": CONTRADICTORY, "resolutions": [RESOLUTION]}),
        ],
    ),
    resolve=extend_schema(
        summary="Apply resolutions to criteria",
        request=CriteriaResolutionSerializer,
        responses=CriteriaSetSerializer,
        examples=[example("Keep only the limit in points", {"resolutions": ["both_losses_limited/keep-points"]})],
    ),
    partial_update=extend_schema(
        summary="Change criteria",
        request=CriteriaChangeSerializer,
        responses=CriteriaSetSerializer,
        examples=[example("A tighter limit", {"body": {"constraints": {"max_metric_drop_points": 0.5}}})],
    ),
)
class CriteriaViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[CriteriaSet]):
    """Named criteria: the team's own and the built-in profiles. A change creates a new version with its own id."""

    serializer_class = CriteriaSetSerializer
    queryset = CriteriaSet.objects.all()
    filterset_class = CriteriaFilter
    listing = LIST_OF_CRITERIA

    def get_queryset(self) -> QuerySet[CriteriaSet]:
        return CriteriaSet.objects.visible_to(self.request.user).select_related("team", "created_by")

    def create(self, request: Request) -> Response:
        asked = validated_body(NewCriteriaSerializer, request)
        row = criteria_service.create(
            user=member(request),
            team=team_for(member(request), asked.get("team")),
            name=asked["name"],
            description=asked["description"],
            criteria=asked["body"],
        )
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        asked = validated_body(CriteriaChangeSerializer, request)
        changed = criteria_service.change(
            row,
            user=member(request),
            criteria=merged(row.body, asked.get("body", {})),
            name=asked.get("name"),
            description=asked.get("description"),
        )
        return Response(self.get_serializer(changed).data)

    @action(detail=False, methods=["post"])
    def check(self, request: Request) -> Response:
        """Lists the conflicts within criteria, and with workers, model and data set, each with resolutions to choose
        from. Nothing is stored.
        """
        asked = validated_body(CriteriaCheckSerializer, request)
        rows = named_rows(request, asked)
        named, given = rows.pop("criteria_set"), asked.get("criteria")
        overrules = None
        if rows["version"] is not None:
            team = rows["version"].model.team
            named = named_or_default(named, given, member(request), team)
            overrules = precedence(named, member(request), team)
        wanted = services.wanted_criteria(named, given, asked.get("overrides"))
        result = services.checked_with_rows(
            wanted, **rows, resolutions=asked.get("resolutions", ()), precedence=overrules
        )
        return Response(result.model_dump(mode="json"))

    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """Applies resolutions to named criteria, which creates a new version."""
        row = self.get_object()
        criteria_service.require_editor(member(request), row)
        asked = validated_body(CriteriaResolutionSerializer, request)
        rows = named_rows(request, asked)
        result = services.checked_with_rows(row.criteria, rows["version"], rows["dataset"], None, asked["resolutions"])
        titles = "; ".join(one.title for one in result.applied)
        changed = criteria_service.change(row, user=member(request), criteria=result.criteria, reason=f"{titles}.")
        return Response(self.get_serializer(changed).data)

    @extend_schema(
        summary="Compare two versions of criteria",
        responses=Comparison,
        filters=False,
        parameters=[
            OpenApiParameter("since", int, description="The id of the older version; by default the one before.")
        ],
    )
    @action(detail=True, pagination_class=None)
    def differences(self, request: Request, pk: str) -> Response:
        """The fields that differ, each with its label, both values as JSON, and both in words."""
        found = compared_since(self.get_object(), self.get_queryset(), request.query_params.get("since"))
        return Response(found.model_dump(mode="json"))

    def destroy(self, request: Request, pk: str) -> Response:
        """Removes criteria from the lists. Sessions that used them keep them."""
        criteria_service.retire(self.get_object(), user=member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


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
        asked, user = validated_body(DefaultsChangeSerializer, request), member(request)
        team = team_for(user, asked.get("team"))
        for name, personal in (("team_default", False), ("member_default", True)):
            if name in asked:
                set_default(team, self._row(name, asked[name]), user=user, personal=personal)
        return Response(self._shown(defaults_of(user, team)))

    def _row(self, field: str, pk: int | None) -> CriteriaSet | None:
        return None if pk is None else row_of(CriteriaSet.objects.visible_to(self.request.user), field, pk)

    @staticmethod
    def _shown(defaults: Defaults) -> dict[str, Any]:
        return dict(DefaultsSerializer(defaults).data)


def compared_since(newer: CriteriaSet, visible: QuerySet[CriteriaSet], since: str | None) -> Comparison:
    """`newer` beside the version with the id `since`, by default the one before of the same name.

    Raises `Http404` for an id that is not `visible`.
    """
    if since is not None:
        return compared(get_object_or_404(visible, pk=id_of(since)), newer)
    same = visible.filter(team=newer.team, name=newer.name, version__lt=newer.version)
    return compared(same.order_by("-version").first(), newer)
