"""The installation over the API: techniques, workers, the audit trail, predictions and storage."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.requests import member
from apps.accounts.teams import team_for
from apps.api import example, refuse_unknown, validated_body
from apps.audit import verification
from apps.audit.models import AuditEvent
from apps.optimization import breakers, services
from apps.optimization.columns import LIST_OF_EVENTS
from apps.optimization.filters import AuditFilter
from apps.optimization.models import Worker
from apps.optimization.serializers_operation import (
    AuditEventSerializer,
    ChainSerializer,
    RetentionSerializer,
    StorageSerializer,
    WorkerSerializer,
)


@extend_schema(tags=["techniques"])
class TechniqueViewSet(viewsets.ViewSet):
    """The catalogue of techniques: parameters, expectations, and which live worker can run each."""

    @extend_schema(responses=services.TechniqueStatus, operation_id="techniques_list")
    def list(self, request: Request) -> Response:
        """All techniques. `missing` names the libraries that no live worker has."""
        refuse_unknown(request, ())
        return Response([one.model_dump(mode="json") for one in services.technique_statuses()])


@extend_schema(tags=["workers"])
class WorkerViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Worker]):
    """The workers that reported themselves in the last day, with their capabilities and whether they are alive."""

    serializer_class = WorkerSerializer
    queryset = Worker.objects.select_related("current_step__session")
    ordering_fields = ("name", "seen_at")

    def get_serializer_context(self) -> dict[str, Any]:
        context = super().get_serializer_context()
        user = self.request.user
        return {
            **context,
            "paused": breakers.paused_workers(),
            "teams": set(user.standing.values_list("team", flat=True)) if user.is_authenticated else set(),
        }


@extend_schema(tags=["audit"])
class AuditViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[AuditEvent]):
    """The team's audit trail, newest first. Each event contains the digest of the previous one; nothing
    can be changed.
    """

    serializer_class = AuditEventSerializer
    queryset = AuditEvent.objects.all()
    filterset_class = AuditFilter
    listing = LIST_OF_EVENTS
    lookup_field = "sequence"

    def get_queryset(self) -> QuerySet[AuditEvent]:
        return AuditEvent.objects.visible_to(self.request.user).order_by("-sequence")

    @extend_schema(
        summary="Read whether the chain of events is whole", responses=ChainSerializer, filters=False, parameters=[]
    )
    @action(detail=False, pagination_class=None)
    def chain(self, request: Request) -> Response:
        """What the last verification found. Workers verify the chain of all teams' events once a day."""
        refuse_unknown(request, ())
        last = verification.last()
        return Response({"whole": last.whole if last else None, "verified_at": last.at if last else None})


@extend_schema(tags=["sessions"])
class PredictionsView(APIView):
    """How well the planner predicted what sessions measured."""

    @extend_schema(
        summary="Compare predictions with measurements",
        parameters=[
            OpenApiParameter("team", str, description="The team's slug. Optional for members of a single team.")
        ],
        responses=services.PlannerErrors,
    )
    def get(self, request: Request) -> Response:
        """Gain, loss and minutes, predicted and measured: by session, newest first, and by family of techniques."""
        refuse_unknown(request, ("team",))
        team = team_for(member(request), request.query_params.get("team"))
        return Response(services.planner_errors(team).model_dump(mode="json"))


@extend_schema(tags=["storage"])
class StorageView(APIView):
    """A team's storage and retention."""

    @extend_schema(
        summary="Read a team's storage",
        parameters=[
            OpenApiParameter("team", str, description="The team's slug. Optional for members of a single team.")
        ],
        responses=StorageSerializer,
    )
    def get(self, request: Request) -> Response:
        team = team_for(member(request), request.query_params.get("team"))
        return Response(StorageSerializer(services.storage_of(team)).data)

    @extend_schema(
        summary="Set a team's retention",
        request=RetentionSerializer,
        responses=StorageSerializer,
        examples=[
            example("Candidates for a month, logs for a year", {"artifact_days": 30, "log_days": 365}),
            example("What would be removed", {"artifact_days": 7, "dry_run": True}),
        ],
    )
    def patch(self, request: Request) -> Response:
        """With `dry_run`, nothing is changed, and `would_go` shows what these settings would remove now.
        Owners only.
        """
        asked = validated_body(RetentionSerializer, request)
        team = team_for(member(request), asked.pop("team", None))
        policy = None
        if asked.pop("dry_run"):
            policy = services.policy_with(team, member(request), asked)
        else:
            services.keep_for(team, member(request), asked)
        return Response(StorageSerializer(services.storage_of(team, policy)).data)
