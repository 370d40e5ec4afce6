"""Another candidate, promotion and the way back, over the API."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.api import example, validated_body
from apps.models.api_aliases import asked_response
from apps.models.models import AliasRequest
from apps.models.serializers import AliasRequestSerializer
from apps.optimization import services
from apps.optimization.models import OptimizationSession
from apps.optimization.serializers import (
    PromotedSerializer,
    PromotionRollbackSerializer,
    PromotionSerializer,
    SessionSerializer,
    TakeSerializer,
)


class DeliveryActions(viewsets.GenericViewSet[OptimizationSession]):
    """Routes that change what a session delivers, and where its result stands."""

    @extend_schema(
        summary="Deliver another candidate of a session",
        request=TakeSerializer,
        responses={202: SessionSerializer},
        examples=[example("The smaller one", {"candidate": "c02"})],
    )
    @action(detail=True, methods=["post"])
    def take(self, request: Request, pk: str) -> Response:
        """Delivers another accepted candidate instead of the present one, without searching again.

        A candidate that was not judged on the test examples is judged first, as one look more at them, and delivered
        only if it holds every limit. Read `requests` of the report to see how it ended. What is delivered now stands
        until the new package is made; earlier reports stay readable, and promotions do not change.
        """
        session = self.get_object()
        candidate = validated_body(TakeSerializer, request)["candidate"]
        session = services.session_take(session, member(request), candidate)
        return Response(self.get_serializer(session).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Promote the result of a session",
        request=PromotionSerializer,
        responses={200: PromotedSerializer, 202: AliasRequestSerializer},
        examples=[example("To production", {"alias": "production"})],
    )
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: str) -> Response:
        """Adds the winning artifact as a version of its model and moves the alias to it. If the alias is protected,
        the answer is 202, and a second member has to approve the request in it.
        """
        session = self.get_object()
        alias = validated_body(PromotionSerializer, request)["alias"]
        done = services.promote(session, member(request), alias)
        if done.asked:
            return asked_response(done.asked)
        return Response({"alias": alias, "version": done.version.pk, "number": done.version.number})

    @extend_schema(
        summary="Roll a promotion back",
        request=PromotionRollbackSerializer,
        responses={200: PromotedSerializer, 202: AliasRequestSerializer},
        examples=[example("Back", {"reason": "Worse on night images"})],
    )
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, pk: str) -> Response:
        """Moves the alias back to where it pointed before the promotion. If it is protected, the answer is 202, and a
        second member has to approve the request in it.
        """
        session = self.get_object()
        asked = validated_body(PromotionRollbackSerializer, request)
        alias = services.promotion_rollback(session, member(request), **asked)
        if isinstance(alias, AliasRequest):
            return asked_response(alias)
        return Response({"alias": alias.name, "version": alias.version_id, "number": alias.version.number})
