"""The request that views receive after the middleware, and the checks they make first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest
from rest_framework.request import Request

from apps.accounts.errors import NoTeam
from apps.accounts.models import Membership, Role, Team, User
from apps.accounts.services import membership, require_role

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails


class MemberRequest(HttpRequest):
    """A page's request: a user is logged in (`LoginRequiredMiddleware`), in a team (`CurrentTeamMiddleware`)."""

    user: User
    team: Team
    """Falsy for a user without a team."""
    membership: Membership
    memberships: list[Membership]
    htmx: HtmxDetails


def current_team(request: MemberRequest) -> Team:
    """The team that owns what the request creates.

    Raises `NoTeam` for users without a team and `PermissionDenied` for viewers.
    """
    if not request.team:
        raise NoTeam()
    require_role(request.user, request.team, Role.ENGINEER)
    return request.team


def membership_in(request: MemberRequest, team: Team) -> Membership | None:
    """The member's place in `team`, which is known already for the team that they work in."""
    known = request.membership
    return known if known and known.team_id == team.pk else membership(request.user, team)


def has_role(request: MemberRequest, team: Team, role: Role) -> bool:
    """Whether the member has at least `role` in `team`, for what a page shows; services check anew."""
    found = membership_in(request, team) if team else None
    return found is not None and found.may(role)


def writes(request: MemberRequest, team: Team) -> bool:
    """Whether the member may change objects of `team`. Pages hide buttons that would be refused."""
    return has_role(request, team, Role.ENGINEER)


def member(request: HttpRequest | Request) -> User:
    """The user that an API request acts for. Authentication has already refused anonymous requests."""
    user = request.user
    assert isinstance(user, User), "member() was called in a view without authentication"
    return user
