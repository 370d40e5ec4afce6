"""What a view may count on, once the middleware has let a request through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest
from rest_framework.request import Request

from apps.accounts.models import Membership, Team, User

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails


class MemberRequest(HttpRequest):
    """A page's request: somebody is logged in (`LoginRequiredMiddleware`), in a team (`CurrentTeamMiddleware`)."""

    user: User
    team: Team
    """Falsy for a person without any team."""
    membership: Membership
    htmx: HtmxDetails


def member(request: HttpRequest | Request) -> User:
    """The person that a request of the API acts for; authentication has refused all others before."""
    user = request.user
    assert isinstance(user, User), "a view without authentication asked who is there"
    return user
