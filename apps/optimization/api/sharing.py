"""The API for public links to reports."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import member
from apps.api import SecretResponse, example, row_of, validated_body
from apps.optimization import services
from apps.optimization.models import OptimizationSession, ReportLink


class ReportLinkSerializer(serializers.ModelSerializer[ReportLink]):
    """`state` is `open`, `expired` or `revoked`."""

    state = serializers.ChoiceField(choices=("open", "expired", "revoked"), read_only=True)
    created_by = serializers.EmailField(source="created_by.email", default=None, read_only=True, allow_null=True)

    class Meta:
        model = ReportLink
        fields = ("id", "session", "state", "created_by", "created_at", "expires_at", "revoked_at")
        read_only_fields = fields


class NewReportLinkSerializer(ReportLinkSerializer):
    """`address` opens the report without a login. It is given only in this answer."""

    address = serializers.URLField(read_only=True)

    class Meta:
        model = ReportLink
        fields = (*ReportLinkSerializer.Meta.fields, "address")
        read_only_fields = fields


class ShareSerializer(serializers.Serializer[Any]):
    session = serializers.UUIDField()
    days = serializers.ChoiceField(choices=services.LINK_DAYS, default=7, help_text="For how long it may be opened.")


class ReportLinkFilter(filters.FilterSet):
    session = filters.UUIDFilter(field_name="session_id", help_text="A session's id.")
    team = filters.CharFilter(field_name="session__team__slug", help_text="A team's slug.")

    class Meta:
        model = ReportLink
        fields: tuple[str, ...] = ()


@extend_schema(tags=["sessions"])
@extend_schema_view(
    create=extend_schema(
        summary="Share the report of a session by a public link",
        request=ShareSerializer,
        responses={201: NewReportLinkSerializer},
        examples=[example("For a month", {"session": "0b2c6f1e-5f0a-4a4e-9f59-0d8c8ad9e0c1", "days": 30})],
    ),
    destroy=extend_schema(summary="Revoke a public link"),
)
class ReportLinkViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ReportLink]):
    """Public links to reports: each opens the report of one session, read-only, until it expires or is revoked."""

    serializer_class = ReportLinkSerializer
    queryset = ReportLink.objects.all()
    filterset_class = ReportLinkFilter
    ordering_fields = ("created_at", "expires_at")

    def get_queryset(self) -> QuerySet[ReportLink]:
        rows = ReportLink.objects.visible_to(self.request.user)
        return rows.select_related("session__team", "session__version__model", "created_by")

    def create(self, request: Request) -> Response:
        """Makes a link. Its `address` is in this answer only: Lathe keeps a digest of it."""
        asked = validated_body(ShareSerializer, request)
        session = row_of(OptimizationSession.objects.visible_to(request.user), "session", asked["session"])
        link, token = services.share_report(session, member(request), asked["days"])
        path = reverse("optimization:shared-report", args=[token])
        link.address = request.build_absolute_uri(path)  # type: ignore[attr-defined]
        return SecretResponse(NewReportLinkSerializer(link).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """Nobody can open it any more. The row stays, as `revoked`."""
        services.revoke_link(self.get_object(), member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
