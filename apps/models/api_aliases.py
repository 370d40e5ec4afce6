"""The API for aliases, and for requests to move protected ones."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.api import example, row_of, validated_body
from apps.models import approvals, services
from apps.models.columns import LIST_OF_APPROVALS
from apps.models.filters import AliasFilter, AliasRequestFilter
from apps.models.models import Alias, AliasRequest, ModelVersion, RegisteredModel
from apps.models.serializers import (
    AliasChangeSerializer,
    AliasDecisionSerializer,
    AliasMoveRequestSerializer,
    AliasRequestSerializer,
    AliasSerializer,
    AliasUndoSerializer,
)

MOVED_OR_ASKED = {200: AliasSerializer, 202: AliasRequestSerializer}


def asked_response(request: AliasRequest) -> Response:
    """The answer to a move that needs approval: 202, with the request for it."""
    return Response(AliasRequestSerializer(request).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(tags=["models"])
@extend_schema_view(
    list=extend_schema(summary="List aliases"),
    create=extend_schema(
        summary="Move or create an alias",
        request=AliasMoveRequestSerializer,
        responses=MOVED_OR_ASKED,
        examples=[
            example(
                "Promote", {"model": 7, "name": "production", "version": 31, "reason": "4× faster at the same accuracy"}
            )
        ],
    ),
    partial_update=extend_schema(
        summary="Protect an alias",
        request=AliasChangeSerializer,
        responses=AliasSerializer,
        examples=[example("Protect it", {"protected": True})],
    ),
    undo=extend_schema(
        request=AliasUndoSerializer, responses=MOVED_OR_ASKED, examples=[example("Back", {"reason": "Too slow"})]
    ),
)
class AliasViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Alias]):
    """Movable names of versions, such as `production`. POST moves an alias, or creates it if it does not exist.

    A move of a protected alias is answered with 202 and a request that a second member has to approve.
    """

    serializer_class = AliasSerializer
    queryset = Alias.objects.all()
    filterset_class = AliasFilter
    ordering_fields = ("name",)

    def get_queryset(self) -> QuerySet[Alias]:
        visible = Alias.objects.visible_to(self.request.user).select_related("model__team", "version")
        return visible.prefetch_related(
            "moves__from_version", "moves__to_version", "moves__moved_by", "moves__approved_by"
        )

    def create(self, request: Request) -> Response:
        asked = validated_body(AliasMoveRequestSerializer, request)
        model = row_of(RegisteredModel.objects.visible_to(member(request)), "model", asked["model"])
        versions = ModelVersion.objects.visible_to(member(request)).select_related("model")
        expected = row_of(versions, "expected", asked["expected"]) if "expected" in asked else None
        version = row_of(versions, "version", asked["version"])
        done = services.move_or_ask(model, asked["name"], version, member(request), asked["reason"], expected=expected)
        return self._response(done)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Owners only. Pending requests are out of date once it is no longer protected."""
        alias, by = self.get_object(), member(request)
        alias = approvals.protect(alias, by, **validated_body(AliasChangeSerializer, request))
        return Response(self.get_serializer(alias).data)

    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Undoes the newest move that has not been undone."""
        alias = self.get_object()
        return self._response(
            services.undo_or_ask(alias, member(request), **validated_body(AliasUndoSerializer, request))
        )

    def _response(self, done: Alias | AliasRequest) -> Response:
        return asked_response(done) if isinstance(done, AliasRequest) else Response(self.get_serializer(done).data)


@extend_schema(tags=["models"])
@extend_schema_view(
    list=extend_schema(summary="List requests for approval"),
    retrieve=extend_schema(summary="Read a request for approval"),
    approve=extend_schema(
        summary="Approve a move of a protected alias",
        request=AliasDecisionSerializer,
        responses=AliasRequestSerializer,
        examples=[example("Approve", {"reason": "Read the report: holds every limit"})],
    ),
    reject=extend_schema(
        summary="Reject a move of a protected alias",
        request=AliasDecisionSerializer,
        responses=AliasRequestSerializer,
        examples=[example("Reject", {"reason": "Wait for the night images"})],
    ),
    withdraw=extend_schema(summary="Withdraw a request for approval", request=None, responses=AliasRequestSerializer),
)
class AliasRequestViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[AliasRequest]):
    """Moves of protected aliases that wait for approval, and how they were decided, newest first."""

    serializer_class = AliasRequestSerializer
    queryset = AliasRequest.objects.all()
    filterset_class = AliasRequestFilter
    listing = LIST_OF_APPROVALS
    ordering_fields = ("id",)

    def get_queryset(self) -> QuerySet[AliasRequest]:
        visible = AliasRequest.objects.visible_to(self.request.user)
        return visible.select_related("alias__model__team", "asked_by", "decided_by")

    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Moves the alias. Neither who asked nor a service account can approve."""
        row = self.get_object()
        approvals.approve(row, member(request), **validated_body(AliasDecisionSerializer, request))
        return Response(self.get_serializer(self.get_object()).data)

    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """The alias stays. Neither who asked nor a service account can reject."""
        row = approvals.reject(self.get_object(), member(request), **validated_body(AliasDecisionSerializer, request))
        return Response(self.get_serializer(row).data)

    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Takes the request back, as the one who asked or as an owner."""
        row = approvals.withdraw(self.get_object(), member(request))
        return Response(self.get_serializer(row).data)


routes = [
    ("aliases", AliasViewSet, "alias"),
    ("alias-requests", AliasRequestViewSet, "approval"),
]
