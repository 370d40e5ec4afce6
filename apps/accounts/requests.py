"""What a view may count on, once the middleware has let a request through, and what it asks of it first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest
from rest_framework.request import Request

from apps.accounts.errors import NoTeam
from apps.accounts.models import Membership, Role, Team, User
from apps.accounts.services import may, require_role

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails


class MemberRequest(HttpRequest):
    """A page's request: somebody is logged in (`LoginRequiredMiddleware`), in a team (`CurrentTeamMiddleware`)."""

    user: User
    team: Team
    """Falsy for a person without any team."""
    membership: Membership
    htmx: HtmxDetails


def current_team(request: MemberRequest) -> Team:
    """The team that new things go to, once it is known that the member may add to it.

    Raises `NoTeam` for people outside any team and `PermissionDenied` for viewers.
    """
    if not request.team:
        raise NoTeam()
    require_role(request.user, request.team, Role.ENGINEER)
    return request.team


def writes(request: MemberRequest, team: Team) -> bool:
    """Whether the member may change things of `team`: pages show no button that would be refused."""
    return bool(team) and may(request.user, team, Role.ENGINEER)


def member(request: HttpRequest | Request) -> User:
    """The person that a request of the API acts for; authentication has refused all others before."""
    user = request.user
    assert isinstance(user, User), "a view without authentication asked who is there"
    return user
