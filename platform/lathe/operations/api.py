"""The API of operators."""

from __future__ import annotations

from datetime import datetime

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.requests import member
from apps.agents.contracts.values import Value
from apps.api import example, refuse_unknown, rows_of, validated_body
from apps.bulk import BulkOutcomes
from apps.optimization import attendance
from lathe.operations import acts, store, work
from lathe.operations.access import ACT, require_operator
from lathe.operations.now import Now, now
from lathe.operations.views import PERIODS


class WorkersAt(Value):
    """The most workers in one interval."""

    at: datetime
    alive: int
    busy: int


class Operations(Value):
    """The operation of the whole installation."""

    now: Now
    workers: tuple[WorkersAt, ...]
    """Over the last day, or as many days as were asked for. Zeros where none was alive."""
    teams: tuple[store.TeamUse, ...]
    disks: tuple[store.Disk, ...]
    slowest_steps: tuple[work.SlowStep, ...]
    failed_sessions: tuple[work.FailedSession, ...]


class ResumeSerializer(serializers.Serializer[None]):
    """The failed sessions to resume."""

    sessions = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=work.MOST_FAILED)


@extend_schema(tags=["operations"])
class OperationsView(APIView):
    """The operation of the whole installation, for operators."""

    @extend_schema(
        summary="Read the state of the installation",
        parameters=[OpenApiParameter("days", int, enum=list(PERIODS), description="Days of workers over time.")],
        responses=Operations,
    )
    def get(self, request: Request) -> Response:
        """Queues, workers, disks, the slowest steps, failed sessions, and whether the audit trail is whole."""
        require_operator(member(request))
        refuse_unknown(request, ("days",))
        asked = _Period(data=request.query_params)
        asked.is_valid(raise_exception=True)
        counts = attendance.over(int(asked.validated_data["days"]))
        read = Operations(
            now=now(),
            workers=tuple(WorkersAt(at=one.at, alive=one.alive, busy=one.busy) for one in counts),
            teams=store.use_by_team(),
            disks=store.disks(),
            slowest_steps=work.slowest_steps(),
            failed_sessions=work.failed_sessions(),
        )
        return Response(read.model_dump(mode="json"))


class _Period(serializers.Serializer[None]):
    days = serializers.ChoiceField(choices=PERIODS, default=PERIODS[0])


@extend_schema(tags=["operations"])
class ResumeView(APIView):
    @extend_schema(
        summary="Resume failed sessions of any team",
        request=ResumeSerializer,
        responses=BulkOutcomes,
        examples=[example("One of them", {"sessions": ["0b2c6f1e-5f0a-4a4e-9f59-0d8c8ad9e0c1"]})],
    )
    def post(self, request: Request) -> Response:
        """Each is resumed by itself: one that cannot be does not hold up the others."""
        require_operator(member(request), ACT)
        asked = validated_body(ResumeSerializer, request)["sessions"]
        found = rows_of(work.failed(), "sessions", asked)
        return Response(BulkOutcomes(outcomes=acts.resume(found, member(request))).model_dump(mode="json"))


@extend_schema(tags=["operations"])
class VerifyTrailView(APIView):
    @extend_schema(summary="Verify the audit trail", request=None, responses={202: None})
    def post(self, request: Request) -> Response:
        """Asks a worker to verify the whole chain. Read the result in `now.trail` of the state."""
        acts.verify_trail(member(request))
        return Response(status=status.HTTP_202_ACCEPTED)
