"""The API for a team's members and invitations, and for one's own logins."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import logins, services
from apps.accounts.columns import LIST_OF_LOGINS, LIST_OF_MEMBERS
from apps.accounts.filters import InvitationFilter, MemberFilter
from apps.accounts.models import Invitation, Login, Membership, Role
from apps.accounts.requests import member
from apps.accounts.serializers import (
    InvitationSerializer,
    LoginSerializer,
    MemberChangeSerializer,
    NewInvitationSerializer,
    TeamMemberSerializer,
)
from apps.accounts.teams import team_for
from apps.api import example, validated_body


@extend_schema(tags=["teams"])
@extend_schema_view(
    list=extend_schema(summary="List members"),
    retrieve=extend_schema(summary="Read a member"),
    partial_update=extend_schema(
        summary="Change a member's role or permission",
        request=MemberChangeSerializer,
        responses=TeamMemberSerializer,
        examples=[example("To engineer", {"role": "engineer"}), example("May upload code", {"may_upload_code": True})],
    ),
    destroy=extend_schema(summary="Remove a member"),
)
class MemberViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Membership]):
    """The people of your teams. Owners change and remove them; you can remove yourself."""

    serializer_class = TeamMemberSerializer
    queryset = Membership.objects.all()
    filterset_class = MemberFilter
    listing = LIST_OF_MEMBERS
    ordering_fields = ("id",)

    def get_queryset(self) -> QuerySet[Membership]:
        return Membership.objects.visible_to(self.request.user).people()

    def partial_update(self, request: Request, pk: str) -> Response:
        row, by = self.get_object(), member(request)
        services.require_role(by, row.team, Role.OWNER)
        asked = validated_body(MemberChangeSerializer, request)
        with transaction.atomic():
            if "role" in asked:
                services.change_role(by=by, member=row, role=Role(asked["role"]))
            if "may_upload_code" in asked:
                services.permit_code(by=by, member=row, allowed=asked["may_upload_code"])
        return Response(self.get_serializer(row).data)

    def destroy(self, request: Request, pk: str) -> Response:
        """Their tokens for this team end. A team always keeps an owner."""
        services.remove_member(by=member(request), member=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["teams"])
@extend_schema_view(
    list=extend_schema(summary="List open invitations"),
    retrieve=extend_schema(summary="Read an open invitation"),
    create=extend_schema(
        summary="Invite someone",
        request=NewInvitationSerializer,
        responses={201: InvitationSerializer},
        examples=[example("An engineer", {"email": "nina@example.com", "role": "engineer"})],
    ),
    destroy=extend_schema(summary="Withdraw an invitation"),
)
class InvitationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Invitation]):
    """Open invitations to the teams that you own. The link to join is sent by e-mail."""

    serializer_class = InvitationSerializer
    queryset = Invitation.objects.all()
    filterset_class = InvitationFilter
    ordering_fields = ("id", "created_at")

    def get_queryset(self) -> QuerySet[Invitation]:
        rows = Invitation.objects.visible_to(self.request.user).open().select_related("team", "invited_by")
        if self.action != "list":
            return rows
        return rows.filter(team__in=member(self.request).standing.filter(role=Role.OWNER).values("team"))

    def get_object(self) -> Invitation:
        """Raises `PermissionDenied` below owner."""
        row: Invitation = super().get_object()
        services.require_role(member(self.request), row.team, Role.OWNER)
        return row

    def create(self, request: Request) -> Response:
        """Sends a link that makes its reader a member. It replaces an open invitation for the same address."""
        asked = validated_body(NewInvitationSerializer, request)
        team = team_for(member(request), asked.pop("team", None))
        row = services.invite(by=member(request), team=team, email=asked["email"], role=Role(asked["role"]))
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        services.withdraw_invitation(self.get_object(), by=member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["teams"])
@extend_schema_view(
    list=extend_schema(summary="List your logins"),
    destroy=extend_schema(summary="End a login"),
    end_others=extend_schema(request=None, responses={204: None}),
)
class LoginViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Login]):
    """The browsers in which you are logged in."""

    serializer_class = LoginSerializer
    queryset = Login.objects.all()
    listing = LIST_OF_LOGINS
    ordering_fields = ("id",)

    def get_queryset(self) -> QuerySet[Login]:
        return logins.logins_of(member(self.request)).select_related("session", "user")

    def destroy(self, request: Request, pk: str) -> Response:
        """The browser is logged out, and its open pages close."""
        logins.end_login(self.get_object(), by=member(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=False, methods=["post"], url_path="end-others")
    def end_others(self, request: Request) -> Response:
        """End all logins but the one that asks. A token ends all."""
        logins.end_other_logins(member(request), request._request.session.session_key)
        return Response(status=status.HTTP_204_NO_CONTENT)


routes = [
    ("members", MemberViewSet, "member"),
    ("invitations", InvitationViewSet, "invitation"),
    ("logins", LoginViewSet, "login"),
]
