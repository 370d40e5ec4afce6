"""The API for what is beside a verdict: predictions example by example, and speed by batch size and threads."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.api import FILE, FILE_RESPONSE, example, refuse_unknown, validated_body
from apps.optimization import services
from apps.optimization.models import OptimizationSession
from apps.optimization.pictures import picture_response
from apps.optimization.serializers import SessionSerializer

CANDIDATE = OpenApiParameter(
    "candidate", str, description="The key of a judged candidate. Without it, the one that is delivered."
)


class MeasureSerializer(serializers.Serializer[Any]):
    candidate = serializers.CharField(
        max_length=20, required=False, help_text="The key of a candidate. Without it, what is delivered."
    )
    batch_sizes = serializers.ListField(
        child=serializers.IntegerField(), required=False, help_text="Without them 1, 2, 4, 8, 16 and 32."
    )
    threads = serializers.ListField(
        child=serializers.IntegerField(),
        required=False,
        help_text="Without them 1, 2, 4 and so on, up to the cores of the machine that measures.",
    )


class EvidenceActions(viewsets.GenericViewSet[OptimizationSession]):
    """Routes of a session that are beside its report."""

    @extend_schema(
        summary="Read both models' predictions example by example",
        responses=services.SessionAnswers,
        parameters=[CANDIDATE],
    )
    @action(detail=True, url_path="predictions")
    def answers(self, request: Request, pk: str) -> Response:
        """The test examples whose prediction changed between original and candidate, confusion matrices, classes and
        groups that lose most, and how the outputs of both are spread."""
        refuse_unknown(request, ("candidate",))
        found = services.session_answers(self.get_object(), request.query_params.get("candidate", ""))
        return Response(found.model_dump(mode="json"))

    @extend_schema(
        summary="List the layers of a session's model",
        responses=services.SessionLayers,
        parameters=[
            OpenApiParameter("candidate", str, description="The key of a candidate. Without it, what is delivered.")
        ],
    )
    @action(detail=True)
    def layers(self, request: Request, pk: str) -> Response:
        """The layers of the original with time, bytes, MACs and sensitivity, and the precision that a candidate stores
        each of them in."""
        refuse_unknown(request, ("candidate",))
        found = services.session_layers(self.get_object(), request.query_params.get("candidate", ""))
        return Response(found.model_dump(mode="json"))

    @extend_schema(
        operation_id="sessions_prediction_picture",
        summary="Download the picture of a test example",
        responses=FILE_RESPONSE,
        parameters=[
            OpenApiParameter("candidate", str, OpenApiParameter.PATH, description="The key of a judged candidate."),
            OpenApiParameter("name", str, OpenApiParameter.PATH, description="`excerpt.picture` of an example."),
        ],
    )
    @action(detail=True, url_path=r"predictions/(?P<candidate>[^/]+)/(?P<name>[^/]+)")
    def answers_picture(self, request: Request, pk: str, candidate: str, name: str) -> HttpResponse:
        """A small picture of an example that `predictions` shows, in PNG or JPEG as its name says."""
        refuse_unknown(request, ())
        found = services.example_picture(self.get_object(), candidate, name)
        return picture_response(found._replace(content_type=FILE))

    @extend_schema(
        methods=["get"],
        summary="List what was measured by batch size and threads",
        responses=services.SessionSpeed,
    )
    @extend_schema(
        methods=["post"],
        summary="Measure speed by batch size and threads",
        request=MeasureSerializer,
        responses={202: SessionSerializer},
        examples=[example("A small grid", {"batch_sizes": [1, 8], "threads": [1, 2]})],
    )
    @action(detail=True, methods=["get", "post"], pagination_class=None, filterset_class=None)
    def speed(self, request: Request, pk: str) -> Response:
        """Latency and throughput of original and candidate at every batch size and number of threads of a grid.

        A POST starts a measurement of a completed session, whose verdict stands meanwhile and afterwards. The answer is
        202, and the session runs until it is done. A GET lists all requests, the latest first.
        """
        session = self.get_object()
        if request.method == "GET":
            refuse_unknown(request, ())
            found = services.SessionSpeed(measurements=services.matrices_of(session))
            return Response(found.model_dump(mode="json"))
        asked = validated_body(MeasureSerializer, request)
        grid = services.speed_grid(asked.get("batch_sizes", ()), asked.get("threads", ()))
        session = services.session_measure(session, member(request), grid, asked.get("candidate", ""))
        return Response(self.get_serializer(session).data, status=status.HTTP_202_ACCEPTED)
