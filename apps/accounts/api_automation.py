"""The API for what acts without a person at hand: one's own tokens, and the team's service accounts with theirs."""

from __future__ import annotations

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import service_accounts, services
from apps.accounts.columns import LIST_OF_SERVICE_ACCOUNTS, LIST_OF_TOKENS
from apps.accounts.filters import ServiceAccountFilter, TokenFilter
from apps.accounts.models import ApiToken, Membership, Role, TokenScope
from apps.accounts.requests import member
from apps.accounts.serializers import (
    CreatedTokenSerializer,
    NewServiceAccountSerializer,
    NewServiceTokenSerializer,
    NewTokenSerializer,
    ServiceAccountChangeSerializer,
    ServiceAccountSerializer,
    TokenSerializer,
)
from apps.accounts.teams import team_for
from apps.api import SecretResponse, example, validated_body

EXAMPLE_TOKEN = {"name": "nightly pipeline", "scope": "write", "days": 1}


def _created(token: ApiToken, text: str) -> Response:
    body = CreatedTokenSerializer(token, context={"text": text}).data
    return SecretResponse(body, status=status.HTTP_201_CREATED)


@extend_schema(tags=["tokens"])
@extend_schema_view(
    list=extend_schema(summary="List your API tokens"),
    retrieve=extend_schema(summary="Read an API token"),
    create=extend_schema(
        summary="Create an API token",
        request=NewTokenSerializer,
        responses={201: CreatedTokenSerializer},
        examples=[example("For a day", EXAMPLE_TOKEN)],
    ),
    destroy=extend_schema(summary="Revoke an API token"),
)
class TokenViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ApiToken]):
    """Your own tokens. A token for one team sees only those for that team."""

    serializer_class = TokenSerializer
    queryset = ApiToken.objects.all()
    filterset_class = TokenFilter
    listing = LIST_OF_TOKENS
    lookup_field = "token_key"
    lookup_url_kwarg = "key"

    def get_queryset(self) -> QuerySet[ApiToken]:
        user = member(self.request)
        rows = ApiToken.objects.filter(user=user).select_related("user", "team", "created_by")
        bound = user.token.team if user.token else None
        return rows if bound is None else rows.filter(team=bound)

    def create(self, request: Request) -> Response:
        """The answer has its `text`, this once. A token that is made with another one opens no other team and is
        valid for no longer.
        """
        asked = validated_body(NewTokenSerializer, request)
        slug = asked.pop("team", None)
        team = team_for(member(request), slug) if slug is not None else None
        asked["scope"] = TokenScope(asked["scope"])
        return _created(*services.create_token(member(request), team=team, **asked))

    def destroy(self, request: Request, key: str) -> Response:
        services.revoke_token(self.get_object(), by=member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["tokens"])
@extend_schema_view(
    list=extend_schema(summary="List service accounts"),
    retrieve=extend_schema(summary="Read a service account"),
    create=extend_schema(
        summary="Create a service account",
        request=NewServiceAccountSerializer,
        responses={201: ServiceAccountSerializer},
        examples=[example("For releases", {"name": "release pipeline", "role": "engineer"})],
    ),
    partial_update=extend_schema(
        summary="Change or disable a service account",
        request=ServiceAccountChangeSerializer,
        responses=ServiceAccountSerializer,
        examples=[example("To viewer", {"role": "viewer"}), example("Disable", {"disabled": True})],
    ),
)
class ServiceAccountViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Membership]):
    """Accounts that belong to a team and not to a person. Owners manage them; they act by tokens alone."""

    serializer_class = ServiceAccountSerializer
    queryset = Membership.objects.all()
    filterset_class = ServiceAccountFilter
    listing = LIST_OF_SERVICE_ACCOUNTS
    ordering_fields = ("id",)

    def get_queryset(self) -> QuerySet[Membership]:
        rows = Membership.objects.visible_to(self.request.user).filter(user__service_of__isnull=False)
        return rows.select_related("user", "team")

    def _owned(self) -> Membership:
        """The service account of the address. Raises `PermissionDenied` below owner."""
        row: Membership = self.get_object()
        services.require_role(member(self.request), row.team, Role.OWNER)
        return row

    def create(self, request: Request) -> Response:
        asked = validated_body(NewServiceAccountSerializer, request)
        team = team_for(member(request), asked.pop("team", None))
        row = service_accounts.create(by=member(request), team=team, name=asked["name"], role=Role(asked["role"]))
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        row = self._owned()
        asked = validated_body(ServiceAccountChangeSerializer, request)
        role = Role(asked["role"]) if "role" in asked else None
        service_accounts.change(row, by=member(request), role=role, disabled=asked.get("disabled"))
        return Response(self.get_serializer(row).data)

    @extend_schema(
        methods=["get"],
        summary="List the tokens of a service account",
        responses=TokenSerializer(many=True),
        filters=False,
    )
    @extend_schema(
        methods=["post"],
        summary="Create a token of a service account",
        request=NewServiceTokenSerializer,
        responses={201: CreatedTokenSerializer},
        examples=[example("For a day", EXAMPLE_TOKEN)],
    )
    @action(detail=True, methods=["get", "post"], filterset_class=None, listing=None, ordering_fields=())
    def tokens(self, request: Request, pk: str) -> Response:
        """Its tokens, without their texts; or a new one, with its `text`, this once. Owners only."""
        row = self._owned()
        if request.method == "POST":
            asked = validated_body(NewServiceTokenSerializer, request)
            asked["scope"] = TokenScope(asked["scope"])
            return _created(*service_accounts.create_token(row, by=member(request), **asked))
        page = self.paginate_queryset(self.filter_queryset(service_accounts.tokens_of(row)))
        return self.get_paginated_response(TokenSerializer(page, many=True).data)

    @extend_schema(
        summary="Revoke a token of a service account",
        parameters=[OpenApiParameter("key", str, OpenApiParameter.PATH, description="How the token's text begins.")],
        responses={204: None},
    )
    @action(detail=True, methods=["delete"], url_path=r"tokens/(?P<key>[^/.]+)", url_name="token")
    def revoke(self, request: Request, pk: str, key: str) -> Response:
        """Whatever uses it stops working immediately. Owners only."""
        token = get_object_or_404(service_accounts.tokens_of(self._owned()), token_key=key)
        services.revoke_token(token, by=member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


routes = [
    ("tokens", TokenViewSet, "token"),
    ("service-accounts", ServiceAccountViewSet, "service-account"),
]
