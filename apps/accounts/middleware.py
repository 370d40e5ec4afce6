"""The current team of a user, and the time zone of their pages."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from apps.accounts.models import Membership, User
from apps.ids import bind_ids
from apps.zones import COOKIE, zone_of, zones

SESSION_KEY = "team"


def current_membership(request: HttpRequest) -> Membership | None:
    """The user's membership in the last chosen team, or in the first team by name; `None` without a team."""
    if not request.user.is_authenticated:
        return None
    memberships = Membership.objects.filter(user=request.user).select_related("team").order_by("team__name")
    chosen: int | None = request.session.get(SESSION_KEY)
    found = (memberships.filter(team_id=chosen).first() if chosen else None) or memberships.first()
    if found is not None:
        bind_ids(team=found.team_id)
    return found


class CurrentTeamMiddleware:
    """Sets `request.membership` and `request.team`, both falsy for users without a team, looked up on first use."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.membership = SimpleLazyObject(lambda: current_membership(request))  # type: ignore[attr-defined]
        request.team = SimpleLazyObject(lambda: getattr(request.membership, "team", None))  # type: ignore[attr-defined]
        return self.get_response(request)


class MemberTimeZone:
    """Shows times in the member's zone. Where none has been chosen yet, the browser's becomes it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        told = unquote(request.COOKIES.get(COOKIE, ""))
        if isinstance(user, User) and not user.time_zone and told in zones():
            User.objects.filter(pk=user.pk, time_zone="").update(time_zone=told)
            user.time_zone = told
        with timezone.override(zone_of(user)):
            return self.get_response(request)
