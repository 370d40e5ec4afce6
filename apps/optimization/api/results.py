"""What a session has found, over the API: steps, candidates, log, report, card and package."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone, translation
from django_filters.utils import translate_validation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.agents.contracts.reports.front import Front
from apps.agents.contracts.reports.recipe import Recipe
from apps.api import FILE, FILE_RESPONSE, refuse_unknown
from apps.languages import language_of
from apps.models.download import blob_response
from apps.optimization import services
from apps.optimization.cards import card_response
from apps.optimization.filters import LogFilter
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.printed import pdf_response
from apps.optimization.recipe import recipe_for
from apps.optimization.serializers import CandidateSerializer, LogEntrySerializer, StepSerializer
from apps.optimization.session_log import PLAIN_TEXT, Form, log_response
from apps.zones import zone_of

DECISION = OpenApiParameter(
    "decision",
    int,
    description="The number of an earlier decision: 0 for the manager's own, else that of a member's request. Without "
    "it, the present one.",
)


class ResultActions(viewsets.GenericViewSet[OptimizationSession]):
    """Routes that read what a session has found, or download it."""

    @extend_schema(summary="List the steps of a session", responses=StepSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def steps(self, request: Request, pk: str) -> Response:
        """All steps, in the order in which they were requested."""
        refuse_unknown(request, ())
        return Response(StepSerializer(self.get_object().steps.order_by("pk"), many=True).data)

    @extend_schema(summary="List the candidates of a session", responses=CandidateSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def candidates(self, request: Request, pk: str) -> Response:
        """All candidates with their predictions and, once measured, their evaluations."""
        refuse_unknown(request, ())
        rows = self.get_object().candidates.select_related("evaluation__step")
        return Response(CandidateSerializer(rows, many=True).data)

    @extend_schema(
        summary="Read or follow the log of a session",
        responses=LogEntrySerializer(many=True),
        filters=False,
        parameters=[OpenApiParameter("after", int, description="Only lines with a larger id, to follow the log.")],
    )
    @action(detail=True)
    def log(self, request: Request, pk: str) -> Response:
        """The log, page by page. To follow it, repeat the request with `after` set to the last id."""
        refuse_unknown(request, ("page", "page_size", *LogFilter.base_filters))
        lines = LogFilter(request.query_params, self.get_object().log.order_by("pk"))
        if not lines.is_valid():
            raise translate_validation(lines.errors)
        page = self.paginate_queryset(lines.qs)
        return self.get_paginated_response(LogEntrySerializer(page, many=True).data)

    @extend_schema(summary="Download the log of a session", responses={(200, PLAIN_TEXT): OpenApiTypes.STR})
    @action(detail=True, url_path="log/file")
    def log_file(self, request: Request, pk: str) -> HttpResponseBase:
        """The whole log as a file: one JSON object per line, with the ids of session, step, candidate, worker and
        request."""
        refuse_unknown(request, ())
        return log_response(request._request, self.get_object(), Form.LINES)

    @extend_schema(summary="Read the report of a session", responses=services.SessionReport, parameters=[DECISION])
    @action(detail=True)
    def report(self, request: Request, pk: str) -> Response:
        """The report: original and candidates compared, every number with its interval."""
        refuse_unknown(request, ("decision",))
        session = self.get_object()
        return Response(services.report(session, _packaging(request, session)).model_dump(mode="json"))

    @extend_schema(
        summary="Download the report of a session as a PDF",
        responses=FILE_RESPONSE,
        parameters=[DECISION],
    )
    @action(detail=True, url_path="report/pdf")
    def report_pdf(self, request: Request, pk: str) -> HttpResponseBase:
        """The report for paper, in the language and the time zone of who asks. Long ones are shortened, and say so."""
        refuse_unknown(request, ("decision",))
        session = self.get_object()
        address = request.build_absolute_uri(reverse("optimization:report", args=[session.pk]))
        reader = member(request)
        with translation.override(language_of(reader)), timezone.override(zone_of(reader)):
            return pdf_response(services.report(session, _packaging(request, session)), address, FILE)

    @extend_schema(
        summary="Get the recipe of an artifact",
        responses=Recipe,
        parameters=[
            OpenApiParameter(
                "step", str, description="Key of the step that made it. Without it, that of the session's result."
            )
        ],
    )
    @action(detail=True)
    def recipe(self, request: Request, pk: str) -> Response:
        """How an artifact was made, exactly enough to make it again, whether its file is still kept or not."""
        refuse_unknown(request, ("step",))
        return Response(recipe_for(self.get_object(), request.query_params.get("step")).model_dump(mode="json"))

    @extend_schema(
        summary="Download the model card of a session",
        responses={(200, "text/markdown"): OpenApiTypes.STR},
        parameters=[DECISION],
    )
    @action(detail=True)
    def card(self, request: Request, pk: str) -> HttpResponseBase:
        """The model card of what the session delivers, as Markdown, with what members have written as it is now."""
        refuse_unknown(request, ("decision",))
        session = self.get_object()
        return card_response(services.card_text(session, _packaging(request, session)))

    @extend_schema(summary="Download the package of a session", responses=FILE_RESPONSE, parameters=[DECISION])
    @action(detail=True)
    def package(self, request: Request, pk: str) -> HttpResponseBase:
        """The package: a zip file with artifact, report, recipe and run script."""
        refuse_unknown(request, ("decision",))
        session = self.get_object()
        package = services.package_of(session, _packaging(request, session))
        return blob_response(request._request, package.blob, package.filename)

    @extend_schema(summary="Read the Pareto front of a session", responses=Front)
    @action(detail=True)
    def front(self, request: Request, pk: str) -> Response:
        """All measured candidates between speed-up, size and loss of the metric, and which of them are on the front.

        A point is dominated by one that is at least as good in all three as measured, and better beyond the overlap of
        both intervals in at least one. It can be read while the session runs.
        """
        refuse_unknown(request, ())
        return Response(services.front_of_session(self.get_object()).model_dump(mode="json"))

    @extend_schema(summary="List what else a session could deliver", responses=services.Alternatives)
    @action(detail=True)
    def alternatives(self, request: Request, pk: str) -> Response:
        """The measured candidates other than the one delivered, each with what it gives up and gains against that."""
        refuse_unknown(request, ())
        found = services.alternatives(services.report(self.get_object()))
        return Response(found.model_dump(mode="json"))

    @extend_schema(
        summary="Download the file of a candidate",
        responses=FILE_RESPONSE,
        parameters=[
            OpenApiParameter("candidate", str, description="The key of a candidate. Without it, what is delivered.")
        ],
    )
    @action(detail=True)
    def file(self, request: Request, pk: str) -> HttpResponseBase:
        """The file of any candidate that was made, accepted or not. Only what is delivered is proven."""
        refuse_unknown(request, ("candidate",))
        found = services.candidate_file(self.get_object(), request.query_params.get("candidate", ""))
        return blob_response(request._request, found.blob, found.filename)


def _packaging(request: Request, session: OptimizationSession) -> SessionStep | None:
    """The package step of the decision in the query; `None` without one. Raises `DecisionUnknown`."""
    number = request.query_params.get("decision")
    return None if number is None else services.decision_step(session, number)
