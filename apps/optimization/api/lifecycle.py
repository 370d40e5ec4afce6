"""A session's life over the API: its preview, its start, and what happens to it until it is deleted."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.api import example, row_of, validated_body
from apps.optimization import services
from apps.optimization.api.rows import EXAMPLE_QUESTION, named_rows, version_behind
from apps.optimization.default_criteria import named_or_default, precedence
from apps.optimization.models import CriteriaSet, OptimizationSession
from apps.optimization.serializers import (
    ContinuationSerializer,
    NewSessionSerializer,
    QuestionSerializer,
    SessionSerializer,
)
from apps.optimization.serializers_comparison import ComparisonSerializer
from apps.optimization.serializers_criteria import EXAMPLE_CRITERIA

EXAMPLE_EDITED = {
    **EXAMPLE_QUESTION,
    "edits": {
        "removed": [[{"technique": "onnx-float16"}]],
        "added": [[{"technique": "onnx-static-int8", "parameters": {"activation_type": "int8"}}]],
    },
}


class LifecycleActions(viewsets.GenericViewSet[OptimizationSession]):
    """Routes that start, stop, resume and delete sessions."""

    @extend_schema(
        summary="Start an optimization session",
        request=NewSessionSerializer,
        responses={201: SessionSerializer},
        examples=[
            example("With named criteria", EXAMPLE_QUESTION),
            example("With inline criteria", {"version": 31, "dataset": 4, "criteria": EXAMPLE_CRITERIA, "seed": 7}),
            example("With an edited plan", EXAMPLE_EDITED),
        ],
    )
    def create(self, request: Request) -> Response:
        asked = validated_body(NewSessionSerializer, request)
        session = services.session_start(
            user=member(request),
            **named_rows(request, asked),
            criteria=asked.get("criteria"),
            overrides=asked.get("overrides"),
            resolutions=asked.get("resolutions", ()),
            edits=asked.get("edits"),
            seed=asked.get("seed"),
            start_anyway=asked["start_anyway"],
            make_anew=asked["make_anew"],
        )
        return Response(self.get_serializer(session).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Delete a session that has ended")
    def destroy(self, request: Request, pk: str) -> Response:
        """Deletes the session with its reports, log and files. Promoted versions and audit events stay."""
        services.session_delete(self.get_object(), user=member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Compare two versions of a model",
        request=ComparisonSerializer,
        responses={201: SessionSerializer},
        examples=[
            example(
                "A new version against the one in production",
                {
                    "version": 31,
                    "compared": 32,
                    "dataset": 4,
                    "criteria": {"constraints": {"max_metric_drop_points": 1.0}},
                },
            ),
            example(
                "A new version against whatever is in production",
                {"alias": "production", "compared": 32, "dataset": 4, "criteria_set": 2},
            ),
        ],
    )
    @action(detail=False, methods=["post"])
    def compare(self, request: Request) -> Response:
        """Starts a session that judges `compared` against `version` by the limits, and optimizes nothing.

        It ends with the outcome `proven`, `violated` or `inconclusive`. Read it as any other session; its report has
        the measurement of every limit with its interval, as the evaluation of the only candidate.
        """
        asked = validated_body(ComparisonSerializer, request)
        rows = {name: row for name, row in named_rows(request, asked).items() if name != "student"}
        if "alias" in asked:
            rows["version"] = version_behind(asked["alias"], rows["compared"])
        session = services.session_compare(
            user=member(request),
            **rows,
            criteria=asked.get("criteria"),
            overrides=asked.get("overrides"),
            seed=asked.get("seed"),
        )
        return Response(self.get_serializer(session).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Preview what a session would try",
        request=QuestionSerializer,
        responses=services.SessionPreview,
        examples=[example("With named criteria", EXAMPLE_QUESTION), example("With an edited plan", EXAMPLE_EDITED)],
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Shows what a session would try and which techniques apply, before anything runs. Nothing is stored."""
        asked = validated_body(QuestionSerializer, request)
        question = named_rows(request, asked)
        given, team = asked.get("criteria"), question["version"].model.team
        named = named_or_default(question.pop("criteria_set"), given, member(request), team)
        wanted = services.wanted_criteria(named, given, asked.get("overrides"))
        chosen = asked.get("resolutions", ())
        preview = services.session_preview(
            **question,
            criteria=wanted,
            resolutions=chosen,
            edits=asked.get("edits"),
            precedence=precedence(named, member(request), team),
        )
        return Response(preview.model_dump(mode="json"))

    @extend_schema(request=None, responses=SessionSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stops the session. Running steps are killed within moments."""
        return Response(self.get_serializer(services.session_cancel(self.get_object(), member(request))).data)

    @extend_schema(summary="Start the same request as a new session", request=None, responses={201: SessionSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Starts the same request as a new session, with the same seed."""
        session = services.session_retry(self.get_object(), member(request))
        return Response(self.get_serializer(session).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=SessionSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Resumes a failed or cancelled session. Completed steps stay."""
        return Response(self.get_serializer(services.session_resume(self.get_object(), member(request))).data)

    @extend_schema(
        summary="Continue a session with other criteria",
        request=ContinuationSerializer,
        responses={201: SessionSerializer},
        examples=[example("A larger budget", {"overrides": {"budget": {"minutes": 40, "candidates": 16}}})],
    )
    @action(detail=True, methods=["post"], url_path="continue", url_name="continue")
    def continue_with(self, request: Request, pk: str) -> Response:
        """Starts a session that takes over what this one made and measured, with other criteria."""
        asked = validated_body(ContinuationSerializer, request)
        named = CriteriaSet.objects.visible_to(request.user)
        if "criteria_set" in asked:
            asked["criteria_set"] = row_of(named, "criteria_set", asked["criteria_set"])
        made = services.session_continue(self.get_object(), member(request), **asked)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)
