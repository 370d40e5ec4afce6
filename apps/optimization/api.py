"""The API for sessions. Each method looks up rows visible to the user and calls the same service as the pages."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django_filters.utils import translate_validation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.requests import member
from apps.accounts.teams import team_for
from apps.agents.contracts.reports.front import Front
from apps.agents.contracts.reports.recipe import Recipe
from apps.api import FILE_RESPONSE, answers, example, refuse_unknown, row_of
from apps.audit.models import AuditEvent
from apps.models.api_aliases import asked_response
from apps.models.download import blob_response
from apps.models.models import AliasRequest
from apps.models.serializers import AliasRequestSerializer
from apps.optimization import breakers, services
from apps.optimization.api_bulk import BulkSessions
from apps.optimization.api_comments import CommentViewSet
from apps.optimization.api_criteria import CriteriaViewSet
from apps.optimization.api_evidence import EvidenceActions
from apps.optimization.api_rows import EXAMPLE_QUESTION, named_rows, version_behind
from apps.optimization.api_sharing import ReportLinkViewSet
from apps.optimization.api_templates import TemplateViewSet
from apps.optimization.cards import card_response
from apps.optimization.default_criteria import named_or_default, precedence
from apps.optimization.filters import AuditFilter, LogFilter, SessionApiFilter
from apps.optimization.models import CriteriaSet, OptimizationSession, SessionStep, Worker
from apps.optimization.recipe import recipe_for
from apps.optimization.serializers import (
    CandidateSerializer,
    ContinuationSerializer,
    LogEntrySerializer,
    NewSessionSerializer,
    PromotedSerializer,
    PromotionRollbackSerializer,
    PromotionSerializer,
    QuestionSerializer,
    SessionSerializer,
    StepSerializer,
    TakeSerializer,
)
from apps.optimization.serializers_comparison import ComparisonSerializer
from apps.optimization.serializers_criteria import EXAMPLE_CRITERIA
from apps.optimization.serializers_operation import (
    AuditEventSerializer,
    RetentionSerializer,
    StorageSerializer,
    WorkerSerializer,
)
from apps.optimization.session_log import PLAIN_TEXT, Form, log_response

DECISION = OpenApiParameter(
    "decision",
    int,
    description="The number of an earlier decision: 0 for the manager's own, else that of a member's request. Without "
    "it, the present one.",
)


EXAMPLE_EDITED = {
    **EXAMPLE_QUESTION,
    "edits": {
        "removed": [[{"technique": "onnx-float16"}]],
        "added": [[{"technique": "onnx-static-int8", "parameters": {"activation_type": "int8"}}]],
    },
}


# --- sessions --------------------------------------------------------------------------------------------------------


@extend_schema(tags=["sessions"])
@extend_schema_view(
    create=extend_schema(
        summary="Start an optimization session",
        request=NewSessionSerializer,
        responses={201: SessionSerializer},
        examples=[
            example("With named criteria", EXAMPLE_QUESTION),
            example("With inline criteria", {"version": 31, "dataset": 4, "criteria": EXAMPLE_CRITERIA, "seed": 7}),
            example("With an edited plan", EXAMPLE_EDITED),
        ],
    ),
    preview=extend_schema(
        summary="Preview what a session would try",
        request=QuestionSerializer,
        responses=services.SessionPreview,
        examples=[example("With named criteria", EXAMPLE_QUESTION), example("With an edited plan", EXAMPLE_EDITED)],
    ),
    compare=extend_schema(
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
    ),
    destroy=extend_schema(summary="Delete a session that has ended"),
    cancel=extend_schema(request=None, responses=SessionSerializer),
    retry=extend_schema(
        summary="Start the same request as a new session", request=None, responses={201: SessionSerializer}
    ),
    resume=extend_schema(request=None, responses=SessionSerializer),
    continue_with=extend_schema(
        summary="Continue a session with other criteria",
        request=ContinuationSerializer,
        responses={201: SessionSerializer},
        examples=[example("A larger budget", {"overrides": {"budget": {"minutes": 40, "candidates": 16}}})],
    ),
    steps=extend_schema(summary="List the steps of a session", responses=StepSerializer(many=True), filters=False),
    candidates=extend_schema(
        summary="List the candidates of a session", responses=CandidateSerializer(many=True), filters=False
    ),
    log=extend_schema(
        summary="Read or follow the log of a session",
        responses=LogEntrySerializer(many=True),
        filters=False,
        parameters=[OpenApiParameter("after", int, description="Only lines with a larger id, to follow the log.")],
    ),
    log_file=extend_schema(summary="Download the log of a session", responses={(200, PLAIN_TEXT): OpenApiTypes.STR}),
    report=extend_schema(
        summary="Read the report of a session", responses=services.SessionReport, parameters=[DECISION]
    ),
    recipe=extend_schema(
        summary="Get the recipe of an artifact",
        responses=Recipe,
        parameters=[
            OpenApiParameter(
                "step", str, description="Key of the step that made it. Without it, that of the session's result."
            )
        ],
    ),
    card=extend_schema(
        summary="Download the model card of a session",
        responses={(200, "text/markdown"): OpenApiTypes.STR},
        parameters=[DECISION],
    ),
    package=extend_schema(summary="Download the package of a session", responses=FILE_RESPONSE, parameters=[DECISION]),
    front=extend_schema(summary="Read the Pareto front of a session", responses=Front),
    alternatives=extend_schema(summary="List what else a session could deliver", responses=services.Alternatives),
    file=extend_schema(
        summary="Download the file of a candidate",
        responses=FILE_RESPONSE,
        parameters=[
            OpenApiParameter("candidate", str, description="The key of a candidate. Without it, what is delivered.")
        ],
    ),
    take=extend_schema(
        summary="Deliver another candidate of a session",
        request=TakeSerializer,
        responses={202: SessionSerializer},
        examples=[example("The smaller one", {"candidate": "c02"})],
    ),
    promote=extend_schema(
        summary="Promote the result of a session",
        request=PromotionSerializer,
        responses={200: PromotedSerializer, 202: AliasRequestSerializer},
        examples=[example("To production", {"alias": "production"})],
    ),
    rollback=extend_schema(
        summary="Roll a promotion back",
        request=PromotionRollbackSerializer,
        responses={200: PromotedSerializer, 202: AliasRequestSerializer},
        examples=[example("Back", {"reason": "Worse on night images"})],
    ),
)
class SessionViewSet(EvidenceActions, mixins.ListModelMixin, mixins.RetrieveModelMixin, BulkSessions):
    """Optimization sessions: start one, watch it (`status`, `progress`, `log`), fetch its report and package."""

    serializer_class = SessionSerializer
    queryset = OptimizationSession.objects.all()
    filterset_class = SessionApiFilter
    ordering_fields = ("created_at", "finished_at", "status")

    def get_queryset(self) -> QuerySet[OptimizationSession]:
        visible = OptimizationSession.objects.visible_to(self.request.user)
        return visible.select_related(
            "team",
            "version__model__team",
            "version__metadata",
            "compared",
            "dataset",
            "criteria_set",
            "package",
            "created_by",
        )

    def create(self, request: Request) -> Response:
        asked = answers(NewSessionSerializer, request)
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

    def destroy(self, request: Request, pk: str) -> Response:
        """Deletes the session with its reports, log and files. Promoted versions and audit events stay."""
        services.session_delete(self.get_object(), user=member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=False, methods=["post"])
    def compare(self, request: Request) -> Response:
        """Starts a session that judges `compared` against `version` by the limits, and optimizes nothing.

        It ends with the outcome `proven`, `violated` or `inconclusive`. Read it as any other session; its report has
        the measurement of every limit with its interval, as the evaluation of the only candidate.
        """
        asked = answers(ComparisonSerializer, request)
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

    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Shows what a session would try and which techniques apply, before anything runs. Nothing is stored."""
        asked = answers(QuestionSerializer, request)
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

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stops the session. Running steps are killed within moments."""
        return Response(self.get_serializer(services.session_cancel(self.get_object(), member(request))).data)

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Starts the same request as a new session, with the same seed."""
        session = services.session_retry(self.get_object(), member(request))
        return Response(self.get_serializer(session).data, status=status.HTTP_201_CREATED)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Resumes a failed or cancelled session. Completed steps stay."""
        return Response(self.get_serializer(services.session_resume(self.get_object(), member(request))).data)

    @action(detail=True, methods=["post"], url_path="continue", url_name="continue")
    def continue_with(self, request: Request, pk: str) -> Response:
        """Starts a session that takes over what this one made and measured, with other criteria."""
        asked = answers(ContinuationSerializer, request)
        named = CriteriaSet.objects.visible_to(request.user)
        if "criteria_set" in asked:
            asked["criteria_set"] = row_of(named, "criteria_set", asked["criteria_set"])
        made = services.session_continue(self.get_object(), member(request), **asked)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @action(detail=True, pagination_class=None)
    def steps(self, request: Request, pk: str) -> Response:
        """All steps, in the order in which they were requested."""
        refuse_unknown(request, ())
        return Response(StepSerializer(self.get_object().steps.order_by("pk"), many=True).data)

    @action(detail=True, pagination_class=None)
    def candidates(self, request: Request, pk: str) -> Response:
        """All candidates with their predictions and, once measured, their evaluations."""
        refuse_unknown(request, ())
        rows = self.get_object().candidates.select_related("evaluation__step")
        return Response(CandidateSerializer(rows, many=True).data)

    @action(detail=True)
    def log(self, request: Request, pk: str) -> Response:
        """The log, page by page. To follow it, repeat the request with `after` set to the last id."""
        refuse_unknown(request, ("page", "page_size", *LogFilter.base_filters))
        lines = LogFilter(request.query_params, self.get_object().log.order_by("pk"))
        if not lines.is_valid():
            raise translate_validation(lines.errors)
        page = self.paginate_queryset(lines.qs)
        return self.get_paginated_response(LogEntrySerializer(page, many=True).data)

    @action(detail=True, url_path="log/file")
    def log_file(self, request: Request, pk: str) -> HttpResponseBase:
        """The whole log as a file: one JSON object per line, with the ids of session, step, candidate, worker and
        request."""
        refuse_unknown(request, ())
        return log_response(request._request, self.get_object(), Form.LINES)

    @action(detail=True)
    def report(self, request: Request, pk: str) -> Response:
        """The report: original and candidates compared, every number with its interval."""
        refuse_unknown(request, ("decision",))
        session = self.get_object()
        return Response(services.report(session, _packaging(request, session)).model_dump(mode="json"))

    @action(detail=True)
    def recipe(self, request: Request, pk: str) -> Response:
        """How an artifact was made, exactly enough to make it again, whether its file is still kept or not."""
        refuse_unknown(request, ("step",))
        return Response(recipe_for(self.get_object(), request.query_params.get("step")).model_dump(mode="json"))

    @action(detail=True)
    def card(self, request: Request, pk: str) -> HttpResponseBase:
        """The model card of what the session delivers, as Markdown, with what members have written as it is now."""
        refuse_unknown(request, ("decision",))
        session = self.get_object()
        return card_response(services.card_text(session, _packaging(request, session)))

    @action(detail=True)
    def package(self, request: Request, pk: str) -> HttpResponseBase:
        """The package: a zip file with artifact, report, recipe and run script."""
        refuse_unknown(request, ("decision",))
        session = self.get_object()
        package = services.package_of(session, _packaging(request, session))
        return blob_response(request._request, package.blob, package.filename)

    @action(detail=True)
    def front(self, request: Request, pk: str) -> Response:
        """All measured candidates between speed-up, size and loss of the metric, and which of them are on the front.

        A point is dominated by one that is at least as good in all three as measured, and better beyond the overlap of
        both intervals in at least one. It can be read while the session runs.
        """
        refuse_unknown(request, ())
        return Response(services.front_of_session(self.get_object()).model_dump(mode="json"))

    @action(detail=True)
    def alternatives(self, request: Request, pk: str) -> Response:
        """The measured candidates other than the one delivered, each with what it gives up and gains against that."""
        refuse_unknown(request, ())
        found = services.alternatives(services.report(self.get_object()))
        return Response(found.model_dump(mode="json"))

    @action(detail=True)
    def file(self, request: Request, pk: str) -> HttpResponseBase:
        """The file of any candidate that was made, accepted or not. Only what is delivered is proven."""
        refuse_unknown(request, ("candidate",))
        found = services.candidate_file(self.get_object(), request.query_params.get("candidate", ""))
        return blob_response(request._request, found.blob, found.filename)

    @action(detail=True, methods=["post"])
    def take(self, request: Request, pk: str) -> Response:
        """Delivers another accepted candidate instead of the present one, without searching again.

        A candidate that was not judged on the test examples is judged first, as one look more at them, and delivered
        only if it holds every limit. Read `requests` of the report to see how it ended. What is delivered now stands
        until the new package is made; earlier reports stay readable, and promotions do not change.
        """
        session = self.get_object()
        candidate = answers(TakeSerializer, request)["candidate"]
        session = services.session_take(session, member(request), candidate)
        return Response(self.get_serializer(session).data, status=status.HTTP_202_ACCEPTED)

    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: str) -> Response:
        """Adds the winning artifact as a version of its model and moves the alias to it. If the alias is protected,
        the answer is 202, and a second member has to approve the request in it.
        """
        session = self.get_object()
        alias = answers(PromotionSerializer, request)["alias"]
        done = services.promote(session, member(request), alias)
        if done.asked:
            return asked_response(done.asked)
        return Response({"alias": alias, "version": done.version.pk, "number": done.version.number})

    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, pk: str) -> Response:
        """Moves the alias back to where it pointed before the promotion. If it is protected, the answer is 202, and a
        second member has to approve the request in it.
        """
        session = self.get_object()
        asked = answers(PromotionRollbackSerializer, request)
        alias = services.promotion_rollback(session, member(request), **asked)
        if isinstance(alias, AliasRequest):
            return asked_response(alias)
        return Response({"alias": alias.name, "version": alias.version_id, "number": alias.version.number})


def _packaging(request: Request, session: OptimizationSession) -> SessionStep | None:
    """The package step of the decision in the query; `None` without one. Raises `DecisionUnknown`."""
    number = request.query_params.get("decision")
    return None if number is None else services.decision_step(session, number)


# --- the installation ------------------------------------------------------------------------------------------------


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
    ordering_fields = ("sequence", "at")
    lookup_field = "sequence"

    def get_queryset(self) -> QuerySet[AuditEvent]:
        return AuditEvent.objects.visible_to(self.request.user).order_by("-sequence")


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
        asked = answers(RetentionSerializer, request)
        team = team_for(member(request), asked.pop("team", None))
        policy = None
        if asked.pop("dry_run"):
            policy = services.policy_with(team, member(request), asked)
        else:
            services.keep_for(team, member(request), asked)
        return Response(StorageSerializer(services.storage_of(team, policy)).data)


routes = [
    ("criteria", CriteriaViewSet, "criteria"),
    ("sessions", SessionViewSet, "session"),
    ("comments", CommentViewSet, "comment"),
    ("report-links", ReportLinkViewSet, "report-link"),
    ("session-templates", TemplateViewSet, "template"),
    ("techniques", TechniqueViewSet, "technique"),
    ("workers", WorkerViewSet, "worker"),
    ("audit", AuditViewSet, "audit"),
]
